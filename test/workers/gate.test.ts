/** Who may attach, and what becomes of workers that do not come back. */
import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { afterEach, describe, expect, it } from "vitest";
import { GuestMemory, VtdWalker } from "../../src/index.ts";
import { attachSmmuWalker, attachVtdWalker, sharedCoreWasm } from "../../src/workers/index.ts";
import { GCMD, Rig, SID } from "../support/vtd-rig.ts";
import { Crew, TestWorker } from "../support/worker-threads.ts";

const PASID = 5;
const PAGE = 0x5000n;
const REQUEST = { sid: SID, pasid: PASID, address: PAGE };
const REGISTERS = { cap: 0n, ecap: 0n, rtaddr: 0n, haw: 46 };
const RAM = { base: 0n, size: 0x1_0000n };

describe("workers at the gate", () => {
  let crew: Crew | undefined;
  afterEach(async () => {
    await crew?.end();
    crew = undefined;
  });

  /** A unit that translates PAGE to 0x100000. @param workerTimeout short only where a worker never comes out */
  function translating(workerTimeout = 60_000) {
    const rig = new Rig({}, {}, { shared: true, workerTimeout });
    rig.settles = false;
    const { fs, pasidEntry } = rig.scalable({ pasid: PASID, context: [0x8n, 0n] });
    rig.startQueue();
    return { rig, pasidEntry, leaf: rig.mapFirst(fs, 4, PAGE, 0x10_0067n) };
  }

  async function attach(handles: ReturnType<Rig["unit"]["share"]>): Promise<Crew> {
    crew = await Crew.attach(handles);
    return crew;
  }

  it("a worker that stays within a call is named, and the register write has not happened", async () => {
    const { rig } = translating(20);
    const mine = await attach(rig.unit.share(2));
    mine.start((shared) => ({ kind: "stay", ...shared }), [1]);
    const before = rig.r32(0x1c);
    expect(() => rig.command(GCMD.TE, false)).toThrow(
      new Error("worker 1 has been within a call for 20 ms: detach it"),
    );
    expect(rig.r32(0x1c)).toBe(before);
    // What is refused stays refused, and nothing keeps the others out.
    expect(() => rig.memory.poison(0n)).toThrow("worker 1");
    expect(await mine.workers[0]?.do({ kind: "ask", requests: [REQUEST], batch: true })).toMatchObject([{ ok: true }]);
    await mine.stop();
    rig.command(GCMD.TE, false);
    expect(rig.r32(0x1c) >>> GCMD.TE).toBe(0);
  });

  it("a worker that died within a call is detached, another takes its place", async () => {
    const { rig, leaf } = translating(20);
    const mine = await attach(rig.unit.share(1));
    mine.start((shared) => ({ kind: "stay", ...shared }));
    await mine.workers[0]?.end();
    rig.put(leaf, 0x20_0067n);
    expect(() => rig.invalidate([0x12n])).toThrow("worker 0");
    rig.unit.detach(0);
    // The descriptors are still there; the tail is written again.
    expect(rig.invalidate([0x12n])).toBe(true);
    const [handle] = rig.unit.share(1);
    expect(handle?.index).toBe(1);
    const next = await attach([handle as NonNullable<typeof handle>]);
    expect(await next.workers[0]?.do({ kind: "ask", requests: [REQUEST], batch: false })).toMatchObject([
      { ok: true, address: 0x20_0000n },
    ]);
  });

  it("a detached worker throws at its next call, or when it attaches", async () => {
    const { rig } = translating();
    const [first, second] = rig.unit.share(2);
    const worker = await attach([first as NonNullable<typeof first>]);
    const ask = { kind: "ask", requests: [REQUEST], batch: false } as const;
    expect(await worker.workers[0]?.do(ask)).toMatchObject([{ ok: true }]);
    rig.unit.detach(0);
    rig.unit.detach(1);
    await expect(worker.workers[0]?.do(ask)).rejects.toThrow("worker 0 was detached");
    await expect(worker.workers[0]?.do({ ...ask, batch: true })).rejects.toThrow("worker 0 was detached");
    await expect(TestWorker.attach(second as NonNullable<typeof second>)).rejects.toThrow("worker 1 was detached");
    expect(() => rig.unit.detach(1)).toThrow(new RangeError("index: 1 is no worker of this walker"));
  });

  it("a handle is for one thread, once, and for its vendor", async () => {
    const { rig } = translating();
    const [handle] = rig.unit.share(1);
    if (!handle) throw new Error("no handle");
    expect(() => attachSmmuWalker(handle)).toThrow(new TypeError('handle: a walker of vendor "vtd", not "smmuv3"'));
    await attach([handle]);
    await expect(TestWorker.attach(handle)).rejects.toThrow("worker 0 is attached already");
    expect(() => attachVtdWalker(handle)).toThrow("worker 0 is attached already");
  });

  it("memory that is not shared, or that the host serves in part, is not for workers", () => {
    expect(() => new VtdWalker(new GuestMemory({ ram: [RAM] }), REGISTERS).share(1)).toThrow(
      new RangeError("memory: made without `shared`, or not by this thread"),
    );
    const host = { read: () => true, write: () => true };
    const ram = [RAM, { base: 0x10_0000n, size: 0x2000n, host }];
    const hosted = new VtdWalker(new GuestMemory({ ram, shared: true }), REGISTERS);
    expect(() => hosted.share(1)).toThrow(
      new RangeError("memory: 0x100000..0x101fff is served by the host, whom other threads cannot ask"),
    );
  });

  it("checks what share is given, and says when the workspace is used up", () => {
    const walker = new VtdWalker(new GuestMemory({ ram: [RAM], shared: true }), REGISTERS, "retain");
    expect(() => walker.share(0)).toThrow("count: 0 is not a whole number in 1..");
    expect(() => walker.share(1, { workspace: 1 })).toThrow("workspace: 1 is not a whole number in 4096..");
    expect(() => walker.share(100)).toThrow(/do not fit, .* bytes of workspace are left/);
    // Those that did fit are no workers either.
    expect(() => walker.detach(0)).toThrow(new RangeError("index: 0 is no worker of this walker"));
  });

  it("a worker's view of the memory: reads and writes what the owner does, may not poison", () => {
    const { rig } = translating();
    const [handle] = rig.unit.share(1);
    const { memory } = attachVtdWalker(handle as NonNullable<typeof handle>);
    rig.memory.write64(0x9000n, 0x1122_3344_5566_7788n);
    expect([memory.read64(0x9000n), memory.read32(0x9004n), memory.read16(0x9002n), memory.read8(0x9000n)]).toEqual([
      0x1122_3344_5566_7788n,
      0x1122_3344,
      0x5566,
      0x88,
    ]);
    memory.write16(0x9001n, 0xabcd);
    memory.write32(0x9004n, 0x99);
    expect(rig.memory.read64(0x9000n)).toBe(0x99_55ab_cd88n);
    expect(memory.regions).toEqual([{ base: 0n, size: 0x200_0000n, end: 0x200_0000n, ptr: expect.any(Number) }]);
    expect(() => memory.poison(0n)).toThrow("poison: only the thread that made this memory may");
    expect(() => memory.heal()).toThrow("heal: only the thread that made this memory may");
    expect(() => new VtdWalker(memory, REGISTERS).share(1)).toThrow("made without `shared`, or not by this thread");
  });

  it("poisoned memory is a bus error in workers, healed memory is not", async () => {
    const { rig, leaf } = translating();
    const mine = await attach(rig.unit.share(2));
    mine.start((shared) => ({ kind: "watch", request: REQUEST, answers: ["100000", "fault", "fault"], ...shared }));
    for (let i = 0; i < 8; i++) {
      rig.memory.poison(leaf, 8);
      expect(rig.invalidate([0x12n])).toBe(true);
      mine.next();
      // Another way to the same fault, so that one epoch tells it from both neighbours.
      rig.put(leaf, 0n);
      expect(rig.invalidate([0x12n])).toBe(true);
      mine.next();
      rig.put(leaf, 0x10_0067n);
      rig.memory.heal();
      expect(rig.invalidate([0x12n])).toBe(true);
      mine.next();
    }
    expect((await mine.stop()).flat()).toEqual([]);
  });

  it("a fault of a worker is recorded once the owner has been asked", async () => {
    const { rig } = translating();
    const mine = await attach(rig.unit.share(1));
    const request = { ...REQUEST, address: 0x7000n };
    const [outcome] = (await mine.workers[0]?.do({ kind: "ask", requests: [request], batch: false })) ?? [];
    expect(outcome).toMatchObject({ ok: false, recorded: true });
    expect(rig.record()).toBeUndefined();
    expect(rig.unit.translate(request)).toEqual(outcome);
    expect(rig.record()).toMatchObject({ sid: SID, pasid: PASID, information: 0x7000n });
  });

  it("a ready-compiled core: what sharedCoreWasm makes of the published one, and of nothing else", async () => {
    const plain = readFileSync(fileURLToPath(new URL("../../build/core.wasm", import.meta.url)));
    const module = new WebAssembly.Module(sharedCoreWasm(plain));
    const walker = new VtdWalker(new GuestMemory({ ram: [RAM], shared: true, module }), REGISTERS);
    const mine = await attach(walker.share(1));
    const request = { sid: 0, address: 0x1000n };
    expect(await mine.workers[0]?.do({ kind: "ask", requests: [request], batch: false })).toEqual([
      walker.translate(request),
    ]);
    expect(() => sharedCoreWasm(plain.subarray(0, 100))).toThrow(new TypeError("plain: these bytes are no core.wasm"));
    expect(() => sharedCoreWasm(sharedCoreWasm(plain))).toThrow(TypeError);
  });
});
