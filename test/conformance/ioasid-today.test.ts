/** SVA's PASIDs through the versions, and what kernels have had since v6.4. */
import { describe, expect, it } from "vitest";
import {
  AttachHandle,
  GlobalPasids,
  HWPT_ALLOC_DIRTY_TRACKING,
  HWPT_ALLOC_PASID,
  type Hwpt,
  INVALID_IOASID,
  Ioasid,
  IommufdDevice,
  IommuGroup,
  type KernelProfile,
  type LogEntry,
  Mm,
  type PasidDevice,
  SvaBinder,
  SvaPasids,
  VFIO_PASID,
  VfioDevice,
} from "../../src/ioasid/index.ts";
import { RecordingDriver } from "../support/attach.ts";

const OK = { ok: true };
const failed = (error: string): unknown => ({ ok: false, error });

describe("SVA PASIDs over an ID space", () => {
  it.each(["v5.5", "v5.11", "v5.18"] as const)("IOASID-065 %s: what is asked for must make sense", (profile) => {
    const sva = new SvaPasids(new Ioasid({ profile }));
    const mm = new Mm("p");
    for (const [min, max] of [
      [0, 5],
      [INVALID_IOASID, 5],
      [1, INVALID_IOASID],
      [6, 5],
    ] as const) {
      expect(sva.alloc(mm, min, max)).toEqual(failed("EINVAL"));
    }
    expect(mm.pasid).toBeUndefined();
    expect(sva.alloc(mm, 5, 5)).toEqual(OK);
    expect(mm.pasid).toBe(5);
    expect(sva.alloc(new Mm("q"), 5, 5)).toEqual(failed("ENOMEM"));
  });

  it("IOASID-065 an address space keeps its PASID if the range has it, else EOVERFLOW; v5.18's end is off by one", () => {
    for (const [profile, rules, atEnd] of [
      ["v5.11", "compat", OK],
      ["v5.11", "strict", OK],
      ["v5.18", "compat", failed("EOVERFLOW")],
      ["v5.18", "strict", OK],
    ] as const) {
      const sva = new SvaPasids(new Ioasid({ profile, rules }));
      const mm = new Mm("p");
      sva.alloc(mm, 5, 9);
      expect(sva.alloc(mm, 1, 9)).toEqual(OK);
      expect(sva.alloc(mm, 1, 5)).toEqual(atEnd);
      expect(sva.alloc(mm, 6, 9)).toEqual(failed("EOVERFLOW"));
      expect(sva.alloc(mm, 1, 4)).toEqual(failed("EOVERFLOW"));
    }
    // v6.4 and later: the bound is the device's count, one beyond the end.
    const pasids = new GlobalPasids();
    const driver = new RecordingDriver();
    const [wide, exact, narrow] = [driver.device("w", 100), driver.device("e", 2), driver.device("n", 1)];
    const binder = binderOf(pasids, [wide, exact, narrow]);
    const mm = new Mm("p");
    expect(binder.bind(wide, mm).ok).toBe(true);
    expect(mm.pasid).toBe(1);
    expect(binder.bind(exact, mm).ok).toBe(true);
    expect(binder.bind(narrow, mm)).toEqual(failed("EOVERFLOW"));
  });

  it("IOASID-065 v5.11 frees with the last unbind, v5.18 with the address space", () => {
    const left = (profile: KernelProfile, end: (mm: Mm, sva: SvaPasids) => void): number => {
      const ids = new Ioasid({ profile });
      const sva = new SvaPasids(ids);
      const mm = new Mm("p");
      sva.alloc(mm, 1, 9);
      sva.alloc(mm, 1, 9);
      end(mm, sva);
      return ids.count;
    };
    const once = (mm: Mm, sva: SvaPasids): void => sva.free(mm);
    const twice = (mm: Mm, sva: SvaPasids): void => {
      sva.free(mm);
      sva.free(mm);
    };
    expect([left("v5.11", once), left("v5.11", twice)]).toEqual([1, 0]);
    expect([left("v5.18", twice), left("v5.18", (mm) => mm.unuse())]).toEqual([1, 0]);
    // A bond that still holds the structure keeps the PASID beyond the last user: unbind finds it.
    const held = (mm: Mm): void => {
      mm.hold();
      mm.unuse();
      expect([mm.exited, mm.gone]).toEqual([true, false]);
    };
    expect(left("v5.18", held)).toBe(1);
    expect(
      left("v5.18", (mm) => {
        held(mm);
        mm.release();
      }),
    ).toBe(0);
  });

  it("IOASID-065 find yields a user of the address space, or none while it is dying", () => {
    const sva = new SvaPasids(new Ioasid({ profile: "v5.18" }));
    const mm = new Mm("p");
    sva.alloc(mm, 1, 9);
    mm.hold();
    expect(sva.find(1)).toEqual({ kind: "value", value: mm });
    mm.unuse();
    expect(mm.exited).toBe(false);
    mm.unuse();
    expect(sva.find(1)).toEqual({ kind: "none" });
    mm.release();
    expect(sva.find(1)).toEqual({ kind: "error", error: "ENOENT" });
    expect(() => mm.release()).toThrow("p: is gone");
  });
});

describe("global PASIDs", () => {
  it("IOASID-066 the lowest free in [1, maxPasids - 1], never 0; freeing nonsense warns", () => {
    const log: LogEntry[] = [];
    const pasids = new GlobalPasids({ log: (entry) => log.push(entry) });
    const device = { maxPasids: 4 };
    expect([1, 2, 3, 4].map(() => pasids.alloc(device))).toEqual([1, 2, 3, undefined]);
    expect([pasids.alloc({ maxPasids: 0 }), pasids.alloc({ maxPasids: 1 })]).toEqual([undefined, undefined]);
    expect(pasids.alloc({ maxPasids: 0x100000 })).toBe(4);
    pasids.free(2);
    expect(log).toEqual([]);
    pasids.free(2);
    pasids.free(INVALID_IOASID);
    expect(log.map(({ level }) => level)).toEqual(["warn", "warn"]);
    expect(pasids.alloc(device)).toBe(2);
    expect(() => pasids.alloc({ maxPasids: 0x100001 })).toThrow(RangeError);
    expect(() => pasids.free(-1)).toThrow(RangeError);
  });
});

describe("attaching per PASID", () => {
  it("IOASID-067 what is refused, in the kernel's order", () => {
    const [driver, foreign, dumb] = [new RecordingDriver(), new RecordingDriver(), new RecordingDriver("d", false)];
    const device = driver.device("a", 16);
    const group = new IommuGroup([device, driver.device("b", 0)]);
    const domain = driver.domain();
    // Each request has everything wrong from here on in the list.
    expect(group.attach(dumb.domain(), null, 0)).toEqual(failed("EOPNOTSUPP"));
    expect(group.attach(foreign.domain(), null, 0)).toEqual(failed("ENODEV"));
    expect(group.attach(foreign.domain(), device, 5)).toEqual(failed("EINVAL"));
    expect(group.attach(domain, device, 0)).toEqual(failed("EINVAL"));
    expect(group.attach(domain, device, 16)).toEqual(failed("EINVAL"));
    expect(group.attach(domain, device, 15)).toEqual(OK);
    expect(group.attach(driver.domain(), device, 15)).toEqual(failed("EBUSY"));
    group.resetting = true;
    expect(group.attach(domain, device, 3)).toEqual(failed("EBUSY"));
    // A member without PASIDs took no part.
    expect([group.attached, driver.calls]).toEqual([[15], ["set a 15"]]);
    expect(() => group.attach(domain, device, -1)).toThrow(RangeError);
  });

  it("IOASID-067 one member fails: the others are undone, also when the driver throws", () => {
    const driver = new RecordingDriver();
    const devices = ["a", "b", "c"].map((name) => driver.device(name, 16)) as [PasidDevice, PasidDevice, PasidDevice];
    const group = new IommuGroup(devices);
    driver.broken.add("c");
    expect(group.attach(driver.domain(), devices[0], 5)).toEqual(failed("ENOMEM"));
    expect(driver.calls).toEqual(["set a 5", "set b 5", "set c 5", "block b 5", "block a 5"]);
    expect([group.attached, driver.hardware.size, group.handle(5)]).toEqual([[], 0, failed("ENOENT")]);
    driver.broken.clear();
    const { set } = driver;
    driver.set = (device, pasid, domain, old) => {
      if (device === devices[1]) throw new Error("bus is gone");
      return set.call(driver, device, pasid, domain, old);
    };
    expect(() => group.attach(driver.domain(), devices[0], 5)).toThrow("bus is gone");
    expect([group.attached, driver.hardware.size]).toEqual([[], 0]);
  });

  it("IOASID-067 detach blocks first, then fails the page requests that nobody took", () => {
    const driver = new RecordingDriver();
    const device = driver.device("a", 16);
    const log: LogEntry[] = [];
    const group = new IommuGroup([device], (entry) => log.push(entry));
    const domain = driver.domain("sva");
    group.attach(domain, device, 5);
    const handle = group.handle(5, "sva");
    expect(group.handle(5, "dma")).toEqual(failed("EBUSY"));
    expect(group.handle(6, "sva")).toEqual(failed("ENOENT"));
    if (!handle.ok) expect.fail("no handle");
    handle.value.queue((answer) => void driver.calls.push(`first ${answer}`));
    handle.value.queue((answer) => void driver.calls.push(`second ${answer}`));
    handle.value.next()?.("success");
    group.detach(driver.domain(), 5);
    expect(log.map(({ level }) => level)).toEqual(["warn"]);
    expect(driver.calls).toEqual(["set a 5", "first success", "block a 5", "second failure"]);
    expect(group.handle(5)).toEqual(failed("ENOENT"));
  });

  it("IOASID-068 replace needs something to replace, and keeps it when it fails", () => {
    const driver = new RecordingDriver();
    const devices = ["a", "b"].map((name) => driver.device(name, 16)) as [PasidDevice, PasidDevice];
    const group = new IommuGroup(devices);
    const [old, next] = [driver.domain(), driver.domain("nested")];
    expect(group.replace(next, devices[0], 5)).toEqual(failed("EINVAL"));
    group.attach(old, devices[0], 5);
    expect(group.replace(next, devices[0], 0)).toEqual(failed("EINVAL"));
    const before = group.handle(5);
    driver.broken.add("b");
    expect(group.replace(next, devices[0], 5)).toEqual(failed("ENOMEM"));
    expect([...driver.hardware.values()]).toEqual([old, old]);
    expect(group.handle(5)).toEqual(before);
    driver.broken.clear();
    expect(group.replace(next, devices[1], 5)).toEqual(OK);
    expect([...driver.hardware.values()]).toEqual([next, next]);
    expect(group.handle(5, "nested").ok).toBe(true);
    // The same domain: only the handle changes.
    driver.calls.length = 0;
    const handle = new AttachHandle(next);
    expect(group.replace(next, devices[0], 5, handle)).toEqual(OK);
    expect([driver.calls, group.handle(5)]).toEqual([[], { ok: true, value: handle }]);
  });

  it("IOASID-068 while the hardware switches, faults still find the old owner", () => {
    const driver = new RecordingDriver();
    const device = driver.device("a", 16);
    const group = new IommuGroup([device]);
    const [old, next] = [driver.domain(), driver.domain()];
    group.attach(old, device, 5);
    let owner: unknown;
    const { set } = driver;
    driver.set = (device, pasid, domain, from) => {
      const handle = group.handle(pasid);
      owner = handle.ok && handle.value.domain;
      return set.call(driver, device, pasid, domain, from);
    };
    group.replace(next, device, 5);
    expect(owner).toBe(old);
  });
});

describe("iommufd and VFIO", () => {
  function setUp(maxPasids = 16) {
    const driver = new RecordingDriver();
    const device = driver.device("a", maxPasids);
    const iommufd = new IommufdDevice(device, new IommuGroup([device]));
    const hwpt = (flags = HWPT_ALLOC_PASID): Hwpt => {
      const made = iommufd.allocHwpt(driver.domain(), flags);
      return made.ok ? made.value : expect.fail(made.error);
    };
    return { driver, iommufd, hwpt };
  }

  it("IOASID-069 page tables fit for PASIDs and others do not mix on one device", () => {
    const { iommufd, hwpt, driver } = setUp();
    expect(iommufd.allocHwpt(driver.domain(), HWPT_ALLOC_DIRTY_TRACKING)).toEqual(failed("EOPNOTSUPP"));
    const [fit, fit2, plain] = [hwpt(), hwpt(), hwpt(0)];
    expect(iommufd.attach(plain, 5)).toEqual(failed("EINVAL"));
    expect(iommufd.attach(plain)).toEqual(OK);
    expect(iommufd.attach(fit, 5)).toEqual(failed("EINVAL"));
    iommufd.detach();
    expect([iommufd.attach(fit, 5), iommufd.attach(plain), iommufd.attach(fit2)]).toEqual([OK, failed("EINVAL"), OK]);
    expect(iommufd.replace(plain)).toEqual(failed("EINVAL"));
    expect([iommufd.attach(fit, 5), iommufd.attach(fit2, 5)]).toEqual([failed("EBUSY"), failed("EINVAL")]);
    expect([iommufd.replace(fit2, 6), iommufd.replace(fit, 5), iommufd.replace(fit2, 5)]).toEqual([
      failed("EINVAL"),
      OK,
      OK,
    ]);
    expect(iommufd.attached).toEqual([0, 5]);
    iommufd.detach(9);
    iommufd.detach(5);
    expect([iommufd.attached, driver.hardware.size]).toEqual([[0], 0]);
  });

  it("IOASID-069 VFIO: the second attach replaces, closing detaches everything", () => {
    const { iommufd, hwpt, driver } = setUp();
    const vfio = new VfioDevice(iommufd);
    const [a, b] = [hwpt(), hwpt()];
    const at = (hwpt: Hwpt, pasid: number) => vfio.attach({ argsz: 16, flags: VFIO_PASID, hwpt, pasid });
    expect([at(a, 5), at(b, 5), at(a, 6), vfio.attach({ argsz: 12, flags: 0, hwpt: a })]).toEqual([OK, OK, OK, OK]);
    expect([iommufd.hwpt(5), iommufd.attached]).toEqual([b, [0, 5, 6]]);
    expect(vfio.attach({ argsz: 8, flags: 0, hwpt: a })).toEqual(failed("EINVAL"));
    expect(vfio.attach({ argsz: 12, flags: VFIO_PASID, hwpt: a, pasid: 7 })).toEqual(failed("EINVAL"));
    expect(vfio.attach({ argsz: 16, flags: 2, hwpt: a })).toEqual(failed("EINVAL"));
    expect(vfio.detach({ argsz: 16, flags: VFIO_PASID, pasid: 9 })).toEqual(OK);
    expect(vfio.detach({ argsz: 16, flags: VFIO_PASID, pasid: 6 })).toEqual(OK);
    vfio.close();
    expect([iommufd.attached, driver.hardware.size]).toEqual([[], 0]);
    const none = setUp(0);
    const dumb = new VfioDevice(none.iommufd);
    expect(dumb.attach({ argsz: 16, flags: VFIO_PASID, hwpt: a, pasid: 5 })).toEqual(failed("EOPNOTSUPP"));
  });
});

describe("binding processes", () => {
  it("IOASID-070 one PASID for all devices of a process, kept over unbinding until it is gone", () => {
    const pasids = new GlobalPasids();
    const driver = new RecordingDriver();
    const [wide, second, narrow] = [driver.device("w", 100), driver.device("s", 50), driver.device("n", 2)];
    const binder = binderOf(pasids, [wide, second, narrow]);
    const [first, mm] = [new Mm("first"), new Mm("p")];
    binder.bind(wide, first);
    const bond = binder.bind(wide, mm);
    const again = binder.bind(wide, mm);
    const other = binder.bind(second, mm);
    if (!bond.ok || !again.ok || !other.ok) expect.fail("not bound");
    expect([bond.value === again.value, bond.value.users, mm.pasid]).toEqual([true, 2, 2]);
    // The page tables are one domain, shared by the devices.
    expect(other.value.domain).toBe(bond.value.domain);
    expect(binder.bind(narrow, mm)).toEqual(failed("EOVERFLOW"));

    binder.unbind(bond.value);
    expect(driver.hardware.has("w 2")).toBe(true);
    binder.unbind(again.value);
    binder.unbind(other.value);
    expect([driver.hardware.has("w 2"), mm.pasid, pasids.has(2)]).toEqual([false, 2, true]);
    expect(() => binder.unbind(bond.value)).toThrow(RangeError);
    expect(binder.bind(wide, mm).ok).toBe(true);
    expect(mm.pasid).toBe(2);
    mm.unuse();
    expect([mm.pasid, pasids.has(2)]).toEqual([undefined, false]);
  });

  it("IOASID-070 what bind refuses", () => {
    const pasids = new GlobalPasids();
    const driver = new RecordingDriver();
    const [device, stray, tiny] = [driver.device("a", 100), driver.device("stray", 100), driver.device("t", 1)];
    const group = new IommuGroup([device]);
    const binder = new SvaBinder(pasids, (d) =>
      d === device ? group : d === tiny ? new IommuGroup([tiny]) : undefined,
    );
    const mm = new Mm("p");
    expect(binder.bind(stray, mm)).toEqual(failed("ENODEV"));
    expect(binder.bind(tiny, mm)).toEqual(failed("ENOSPC"));
    mm.dmaCompatible = false;
    expect(binder.bind(device, mm)).toEqual(failed("EBUSY"));
    mm.dmaCompatible = true;
    // Somebody attached a domain of another kind at the PASID that the process will get.
    group.attach(driver.domain(), device, 1);
    expect(binder.bind(device, mm)).toEqual(failed("EBUSY"));
    driver.broken.add("a");
    expect(binder.bind(device, new Mm("q"))).toEqual(failed("ENOMEM"));
  });
});

function binderOf(pasids: GlobalPasids, devices: PasidDevice[]): SvaBinder {
  const groups = new Map(devices.map((device) => [device, new IommuGroup([device])]));
  return new SvaBinder(pasids, (device) => groups.get(device));
}
