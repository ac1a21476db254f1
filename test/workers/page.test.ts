/** A page's main thread as the owner: it may not sleep, so it spins. */
import { afterEach, expect, it, vi } from "vitest";
import { GCMD, Rig, SID } from "../support/vtd-rig.ts";
import { Crew } from "../support/worker-threads.ts";

const PAGE = 0x5000n;

let crew: Crew | undefined;
afterEach(async () => {
  await crew?.end();
});

it("an owner that may not sleep waits all the same, and gives up all the same", async () => {
  const rig = new Rig({}, {}, { shared: true, workerTimeout: 20 });
  const { fs } = rig.scalable({ pasid: 5, context: [0x8n, 0n] });
  rig.mapFirst(fs, 4, PAGE, 0x10_0067n);
  crew = await Crew.attach(rig.unit.share(1));
  crew.start((shared) => ({ kind: "stay", ...shared }));
  const before = rig.r32(0x1c);
  const sleep = vi.spyOn(Atomics, "wait").mockImplementation(() => {
    throw new TypeError("Atomics.wait cannot be called in this context");
  });
  expect(() => rig.command(GCMD.TE, false)).toThrow("worker 0 has been within a call for 20 ms: detach it");
  expect(rig.r32(0x1c)).toBe(before);
  // It has asked once, and remembers.
  expect(sleep).toHaveBeenCalledTimes(1);
  sleep.mockRestore();
  await crew.stop();

  const patient = new Rig({}, {}, { shared: true, workerTimeout: 60_000 });
  patient.settles = false;
  const setup = patient.scalable({ pasid: 5, context: [0x8n, 0n] });
  patient.startQueue();
  const leaf = patient.mapFirst(setup.fs, 4, PAGE, 0x10_0067n);
  await crew.end();
  crew = await Crew.attach(patient.unit.share(1));
  crew.start((shared) => ({ kind: "hold", request: { sid: SID, pasid: 5, address: PAGE }, ...shared }));
  for (let i = 0; i < 50; i++) {
    patient.put(leaf, (0x10_0000n + BigInt(i) * 0x1000n) | 0x67n);
    expect(patient.invalidate([0x12n])).toBe(true);
  }
  expect((await crew.stop()).flat()).toEqual([]);
});
