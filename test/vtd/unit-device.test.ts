import { describe, expect, it } from "vitest";
import { REG } from "../../assembly/layout/vtd-registers.ts";
import { VTD_PRESETS } from "../../src/index.ts";
import { capabilities, VtdMachine } from "../support/vtd-machine.ts";

const SID = 0x0410;
const PASID = 0x42;

/** A device with ATS, a second stage for requests without PASID and a first stage for PASID 42h. */
function device() {
  const machine = new VtdMachine({ capabilities: capabilities({ NFR: 0 }) });
  const tables = machine.start("scalable");
  tables.setScalableContext(SID, { DTE: 1, PASIDE: 1, PRE: 1 });
  const second = tables.secondStage(2);
  const first = tables.firstStage();
  tables.setPasid(SID, 0, { PGTT: 2, DID: 3, PGSNP: 1 }, { second });
  tables.setPasid(SID, PASID, { PGTT: 1, DID: 4, PWSNP: 1, SRE: 1 }, { first });
  return { machine, first, second, device: machine.unit.device(SID) };
}

describe("DMA of a device", () => {
  it("is split at 4 KiB, and each piece goes where its page is", () => {
    const { machine, second, device: dma } = device();
    second.map(0x1_0000n, 0x9000n);
    second.map(0x1_1000n, 0x5000n);
    const data = Uint8Array.from({ length: 6000 }, (_, i) => i & 0xff);
    expect(dma.write(0x1_0400n, data)).toEqual({ ok: true });
    expect(machine.memory.readBytes(0x9400n, 0xc00)).toEqual(data.subarray(0, 0xc00));
    expect(machine.memory.readBytes(0x5000n, 6000 - 0xc00)).toEqual(data.subarray(0xc00));
    expect(dma.read(0x1_0400n, 6000)).toEqual({ ok: true, data });
  });

  it("stops at the first piece that fails, and says how far it came", () => {
    const { machine, second, device: dma } = device();
    second.map(0x1_0000n, 0x9000n);
    expect(dma.write(0x1_0ff0n, new Uint8Array(100).fill(7))).toMatchObject({
      ok: false,
      done: 16,
      fault: { code: 0x79 },
    });
    expect([...machine.memory.readBytes(0x9ff0n, 16)]).toEqual(new Array(16).fill(7));
    expect(machine.read(0x1000, 8)).toBe(0x1_1000n);
  });

  it("carries a PASID and its privilege", () => {
    const { machine, first, device: dma } = device();
    first.map(0x7000n, 0x8000n, { P: 1, RW: 1 });
    machine.memory.write32(0x8010n, 0xcafe_f00d);
    expect(dma.read(0x7010n, 4, { pasid: PASID })).toMatchObject({ ok: false, fault: { code: 0x81 } });
    expect(dma.read(0x7010n, 4, { pasid: PASID, privileged: true })).toEqual({
      ok: true,
      data: Uint8Array.of(0x0d, 0xf0, 0xfe, 0xca),
    });
  });

  it("meets bus errors behind the translation", () => {
    const { machine, second, device: dma } = device();
    second.map(0x1_0000n, 0x9000n);
    second.map(0x2_0000n, 0x1_0000_0000n);
    machine.memory.poison(0x9000n, 4096);
    expect(dma.read(0x1_0000n, 4)).toEqual({ ok: false, done: 0, fault: "bus error" });
    expect(dma.write(0x2_0000n, new Uint8Array(4))).toEqual({ ok: false, done: 0, fault: "bus error" });
    expect(machine.read(REG.FSTS)).toBe(0n);
  });

  it("of no bytes is a zero-length read", () => {
    const { second, device: dma } = device();
    second.map(0x1_0000n, 0x9000n, { W: 1 });
    expect(dma.read(0x1_0000n, 4)).toMatchObject({ ok: false, fault: { code: 0x86 } });
    expect(dma.read(0x1_0000n, 0)).toEqual({ ok: true, data: new Uint8Array(0) });
  });

  it("refuses malformed calls by name", () => {
    const { machine, device: dma } = device();
    expect(() => dma.read(-1n, 4)).toThrow(/address/);
    expect(() => dma.read(0n, -1)).toThrow(/bytes/);
    expect(() => machine.unit.device(0x1_0000)).toThrow(/sid/);
    expect(() => machine.unit.requestPage({ sid: 1, address: 0n, group: 512 })).toThrow(/group/);
    expect(() => machine.unit.reset("hot" as "cold")).toThrow(/kind/);
    expect(() => machine.unit.mmio.write(0, 4, -1n)).toThrow(/value/);
  });
});

describe("ATS translation requests", () => {
  it("VTD-068 tell the page size by S and the address", () => {
    const { second, device: ats } = device();
    second.map(0x4000_0000n, 0x123_4000n);
    second.map(0x4020_0000n, 0x80_0000n, { R: 1, W: 1 }, 2);
    second.map(0x8000_0000n, 0x1_4000_0000n, { R: 1 }, 3);
    expect(ats.requestTranslation(0x4000_0abcn)).toMatchObject({ sized: false, address: 0x123_4000n, size: 0x1000n });
    // Bit 20 is 0 and bits 19:12 are ones.
    expect(ats.requestTranslation(0x4020_5000n)).toMatchObject({ sized: true, address: 0x8f_f000n, size: 0x20_0000n });
    expect(ats.requestTranslation(0x8123_4000n)).toMatchObject({
      status: "success",
      sized: true,
      address: 0x1_5fff_f000n,
      size: 0x4000_0000n,
      read: true,
      write: false,
      nonSnooped: true,
    });
  });

  it("VTD-065, VTD-066 end in success without rights, UR or CA", () => {
    const { machine, device: ats } = device();
    expect(ats.requestTranslation(0x5000n)).toMatchObject({ status: "success", read: false, write: false });
    expect(ats.requestTranslation(0x5000n, { pasid: 7 })).toMatchObject({ status: "success", read: false });
    expect(machine.read(REG.FSTS)).toBe(0n);
    expect(machine.unit.device(SID + 8).requestTranslation(0x5000n)).toMatchObject({ status: "ur" });
    expect(machine.read(REG.FSTS)).toBe(2n);
  });

  it("VTD-067, VTD-069 honour NW, and repeat the privilege of a request with PASID", () => {
    const { first, device: ats } = device();
    first.map(0x7000n, 0x8000n, { P: 1, RW: 1, US: 1 });
    const pasid = PASID;
    expect(ats.requestTranslation(0x7000n, { pasid, noWrite: true })).toMatchObject({ read: true, write: false });
    expect(ats.requestTranslation(0x7000n, { pasid })).toMatchObject({ read: true, write: true, privileged: false });
    expect(ats.requestTranslation(0x7000n, { pasid, privileged: true })).toMatchObject({ privileged: true });
    expect(ats.requestTranslation(0x7000n, { privileged: true })).toMatchObject({ privileged: false });
  });

  it("of interrupt addresses may write, untranslated only", () => {
    const { device: ats } = device();
    expect(ats.requestTranslation(0xfee0_0000n)).toMatchObject({ read: false, write: true, untranslatedOnly: true });
    expect(ats.requestTranslation(0xfee0_0000n, { noWrite: true })).toMatchObject({ write: false });
  });

  it("give addresses that translated requests may use", () => {
    const { machine, second, device: ats } = device();
    second.map(0x4000_0000n, 0x9000n);
    const { address } = ats.requestTranslation(0x4000_0000n);
    machine.memory.write32(0x9000n, 0x1234);
    expect(ats.read(address, 4, { translated: true })).toMatchObject({
      ok: true,
      data: Uint8Array.of(0x34, 0x12, 0, 0),
    });
  });
});

describe("many requests at once", () => {
  it("give the same answers and records as one by one", () => {
    const one = device();
    const many = device();
    for (const { second, first } of [one, many]) {
      second.map(0x1_0000n, 0x9000n);
      first.map(0x7000n, 0x8000n, { P: 1, US: 1 });
    }
    const requests = [
      { sid: SID, address: 0x1_0010n },
      { sid: SID, address: 0x7fffn, pasid: PASID },
      { sid: SID, address: 0x7000n, pasid: PASID, access: "w" as const, probe: true },
      { sid: SID, address: 0x7000n, pasid: PASID, access: "w" as const },
      { sid: SID + 1, address: 0n, access: "a" as const },
      { sid: SID, address: 0x5000n, type: "translation" as const },
      { sid: SID, address: 0xfee0_0000n, access: "w" as const, dword: true },
    ];
    const batch = many.machine.unit.batch(requests.length);
    requests.forEach((request, i) => {
      batch.set(i, request);
    });
    batch.run(requests.length);
    expect(requests.map((_, i) => batch.get(i))).toEqual(one.machine.unit.translateMany(requests));
    for (const offset of [0x1000, 0x1008, REG.FSTS & ~7])
      expect(many.machine.read(offset, 8)).toBe(one.machine.read(offset, 8));
    expect(many.machine.read(REG.FSTS)).toBe(3n);
  });
});

describe("snapshots of a unit", () => {
  /** Runs a unit into a state where everything that can be is different from reset. */
  const busy = () => {
    const made = device();
    const { machine } = made;
    machine.startQueue(true);
    machine.write(REG.PQA, machine.pages.allocate(), 8);
    machine.submit([0x15n], [0xfn]);
    machine.unit.translate({ sid: 1, address: 0x1000n });
    machine.unit.requestPage({ sid: SID, address: 0x1000n, read: true });
    machine.write(REG.RTADDR, 0xc00n, 8);
    machine.write(REG.PLMLIMIT, 0x20_0000n);
    return made;
  };
  const registersOf = ({ mmio }: VtdMachine["unit"]) =>
    Array.from({ length: mmio.bytes / 8 }, (_, i) => mmio.read(8 * i, 8));

  it("round-trip every register and what the commands latched", () => {
    const { machine, second } = busy();
    second.map(0x1_0000n, 0x9000n);
    const saved = JSON.parse(JSON.stringify(machine.unit.snapshot()));
    const before = registersOf(machine.unit);
    machine.unit.reset("cold");
    expect(machine.unit.translate({ sid: SID, address: 0x1_0000n })).toMatchObject({ address: 0x1_0000n });
    machine.unit.restore(saved);
    expect(registersOf(machine.unit)).toEqual(before);
    expect(machine.unit.snapshot()).toEqual(saved);
    // RTADDR holds abort-DMA mode that no SRTP latched.
    expect(machine.unit.translate({ sid: SID, address: 0x1_0000n })).toMatchObject({ ok: true, address: 0x9000n });
  });

  it("keep the fault ring's position and unanswered invalidations", () => {
    const machine = new VtdMachine({ capabilities: capabilities({ NFR: 1 }), queue: "stepped" });
    machine.start("legacy");
    machine.unit.translate({ sid: 1, address: 0n });
    machine.write(0x100c, 0x8000_0000n);
    machine.startQueue();
    machine.submit([0x3n | (0x99n << 32n)], [0x5n]);
    machine.unit.step();
    const saved = machine.unit.snapshot();
    machine.unit.reset("cold");
    machine.unit.restore(saved);
    expect(machine.unit.step()).toMatchObject({ name: "inv_wait", outcome: "aborted" });
    expect(machine.read(REG.IQERCD, 8)).toBe(0x99n << 32n);
    machine.unit.translate({ sid: 1, address: 0n });
    expect(machine.read(REG.FSTS) & 0xff02n).toBe(0x102n);
  });

  it("are refused, with nothing changed, when torn or of another configuration", () => {
    const { machine } = busy();
    const saved = machine.unit.snapshot();
    const before = registersOf(machine.unit);
    const other = new VtdMachine({ capabilities: VTD_PRESETS.server });
    expect(() => other.unit.restore(saved)).toThrow(/another configuration: (ver|cap)/);
    const stepped = new VtdMachine({ capabilities: machine.unit.capabilities, queue: "stepped" });
    expect(() => stepped.unit.restore(saved)).toThrow(/queue is "immediate", here "stepped"/);
    const torn = JSON.parse(JSON.stringify(saved));
    torn.state.registers.FECTL = "0x0";
    expect(() => machine.unit.restore(torn)).toThrow(/torn/);
    expect(registersOf(machine.unit)).toEqual(before);
  });
});

describe("describe", () => {
  it("says what the unit is, what it is doing, and every register", () => {
    const { machine } = device();
    machine.startQueue(true);
    machine.submit([0xfn]);
    machine.unit.translate({ sid: SID, address: 0x1234_5000n });
    const text = machine.unit.describe();
    expect(text).toMatch(/^VT-d unit, version 5\.0: 52-bit host addresses/);
    expect(text).toContain("DMA remapping: on, scalable mode, root table at 0x400000");
    expect(text).toMatch(
      /invalidation queue: on, 256-bit descriptors at 0x[0-9a-f]+, head 0x0, tail 0x20, stopped by IQE/,
    );
    expect(text).toMatch(/fault in FRCD0: source 0x0410 at 0x12345000, 0x79 SSS\.2/);
    expect(text).toMatch(/^0x0034 FSTS/m);
    const found = new VtdMachine({ capabilities: VTD_PRESETS["server-5-level"] }).unit.describe();
    expect(found).toContain("not modelled: CAP.PI (59), CAP.ECMDS (61)");
  });
});
