/** SMMU-070..076: fault models, event records, stalls, IHI 0070 3.12, 7.3, 4.6. */
import { describe, expect, it } from "vitest";
import type { Request } from "../../src/index.ts";
import type { SmmuOutcome } from "../../src/smmuv3/index.ts";
import { aborts, answers, stage1 } from "../support/smmu-expect.ts";
import { CR0, OP, REG, STE, words } from "../support/smmu-fields.ts";
import { CDS, EVENTQ, hexWords, IDS, PA, RAM, record, SID, SmmuMachine, STREAMS, VA } from "../support/smmu-machine.ts";

const OTHER = 6;
const F_TRANSLATION = stage1(0x10);

/** A machine whose stage 1 stalls, and what became of transactions that stalled. */
function stalling(options: ConstructorParameters<typeof SmmuMachine>[0] = {}) {
  const machine = new SmmuMachine(options);
  const tables = machine.stage1({ S: 1 });
  const ended: { sid: number; outcome: SmmuOutcome }[] = [];
  machine.smmu.onResume = (_, { sid }, outcome) => ended.push({ sid, outcome });
  const stall = (request: Partial<Request> = {}) => expect(machine.ask(request)).toMatchObject({ answer: "stall" });
  /** STAGs of the new records. */
  const tags = () => machine.events().map((event) => Number((event[1] as bigint) & 0xffffn));
  return { machine, tables, ended, stall, tags };
}

describe("Terminate model, IHI 0070 3.12.1", () => {
  it("SMMU-070 CD.R = 0 aborts without a record, R = 1 with one; A = 0 is RAZ/WI", () => {
    for (const R of [0, 1]) {
      for (const A of [0, 1]) {
        const machine = new SmmuMachine();
        machine.stage1({ R, A });
        answers(machine, {}, A ? "abort" : "raz-wi", R ? F_TRANSLATION : undefined);
        const read = machine.smmu.device(SID).read(VA, 4);
        if (A) expect(read).toMatchObject({ ok: false, fault: { answer: "abort" } });
        else expect(read).toMatchObject({ ok: true, ignored: true, data: new Uint8Array(4) });
      }
    }
  });
});

describe("Event records, IHI 0070 7.3", () => {
  it("SMMU-071 every record is as laid out, bits that are not defined are 0, STAGs are unique", () => {
    const machine = new SmmuMachine();
    // Stale contents show what a record leaves alone.
    for (let at = 0n; at < 1024n; at += 8n) machine.memory.write64(EVENTQ + at, 0xffff_ffff_ffff_ffffn);
    const address = 0xfedc_ba98_7654_3210n;
    machine.setSte({ V: 1, Config: 5, S1ContextPtr: CDS, S1CDMax: 20, S1DSS: 0 });
    // A table of 2^20 CDs is aligned to 64 MiB.
    const cd = RAM + 64n * 0x12345n;
    machine.memory.poison(cd, 8);
    const seen: bigint[][] = [];
    const ask = (request: Partial<Request>) => {
      machine.ask({ address, ...request });
      seen.push(...machine.events());
    };
    ask({ sid: 0x89ab_cdef });
    ask({ sid: OTHER });
    ask({});
    ask({ pasid: 0x12345 });
    machine.setSte({ V: 1, Config: 4, SHCFG: 1 });
    ask({ pasid: 0xabcde });
    ask({ access: "w" });
    ask({ type: "translation", pasid: 0x12345, privileged: true, access: "x" });
    expect(seen.map(hexWords)).toEqual([
      "0x89abcdef00000002 0x0 0x0 0x0",
      "0x600000004 0x0 0x0 0x0",
      "0x500000006 0x0 0x0 0x0",
      `0x512345809 0x0 0x0 0x${cd.toString(16)}`,
      "0x5abcde008 0x0 0x0 0x0",
      "0x500000011 0x20000000000 0xfedcba9876543210 0x0",
      "0x512345805 0xf0000001 0xfedcba9876543000 0x0",
    ]);
    const { stall, tags } = stalling();
    stall();
    stall({ address: VA + 0x1000n });
    stall({ address: VA + 0x2000n });
    expect(new Set(tags()).size).toBe(3);
  });
});

describe("Stall model, IHI 0070 3.12.2", () => {
  it("SMMU-072 the record has Stall = 1, the device waits; RESUME with retry completes once it is mapped", () => {
    const { machine, tables, ended, stall } = stalling();
    stall({ access: "w" });
    const [event] = machine.events();
    const tag = (event?.[1] as bigint) & 0xffffn;
    const wanted = record({ sid: SID, address: VA, access: "w" }, { ...F_TRANSLATION, stall: true });
    expect(hexWords(event as bigint[])).toBe(
      hexWords([wanted[0] as bigint, (wanted[1] as bigint) | tag, ...wanted.slice(2)]),
    );
    expect(ended).toEqual([]);
    tables.map(VA, PA);
    machine.command(OP.RESUME, { SID, STAG: tag, Ac: 1 });
    expect(ended).toMatchObject([{ sid: SID, outcome: { ok: true, address: PA } }]);
    expect(machine.events()).toEqual([]);
  });

  it("SMMU-073 RESUME with terminate: Ab = 1 aborts, Ab = 0 is RAZ/WI; another STAG or SID does nothing", () => {
    const { machine, ended, stall, tags } = stalling();
    stall();
    const [STAG] = tags() as [number];
    machine.command(OP.RESUME, { SID, STAG: STAG + 1, Ab: 1 });
    machine.command(OP.RESUME, { SID: OTHER, STAG, Ab: 1 });
    expect(ended).toEqual([]);
    machine.command(OP.RESUME, { SID, STAG, Ab: 1 });
    expect(ended).toMatchObject([{ outcome: { answer: "abort" } }]);
    stall();
    machine.command(OP.RESUME, { SID, STAG: (tags() as [number])[0], Ab: 0 });
    expect(ended.slice(1)).toMatchObject([{ outcome: { answer: "raz-wi" } }]);
    machine.command(OP.RESUME, { SID, STAG, Ab: 1 });
    expect(ended).toHaveLength(2);
    const only = stalling({ ids: { IDR0: IDS.IDR0 | (1 << 26) } });
    only.machine.setCd({
      ...{ V: 1, T0SZ: 16, T1SZ: 16, TG1: 2, IPS: 5, AA64: 1, S: 1, A: 1 },
      TTB0: only.tables.base,
    });
    only.stall();
    only.machine.command(OP.RESUME, { SID, STAG: (only.tags() as [number])[0], Ab: 0 });
    expect(only.ended).toMatchObject([{ outcome: { answer: "abort" } }]);
  });

  it("SMMU-074 STALL_TERM ends the stalls of one StreamID, SMMUEN = 0 those of all", () => {
    const { machine, ended, stall } = stalling();
    machine.store(STREAMS + 64n * BigInt(OTHER), words(STE, 8, { V: 1, Config: 5, S1ContextPtr: CDS, SHCFG: 1 }));
    machine.invalidateAll();
    for (const sid of [SID, OTHER, SID]) stall({ sid });
    machine.command(OP.STALL_TERM, { SID });
    machine.sync();
    expect(ended).toMatchObject([SID, SID].map((sid) => ({ sid, outcome: { answer: "abort" } })));
    expect(machine.smmu.stalled).toBe(1);
    machine.write(REG.CR0, CR0.CMDQEN | CR0.EVENTQEN);
    expect(ended).toMatchObject([SID, SID, OTHER].map((sid) => ({ sid, outcome: { answer: "abort" } })));
    expect(machine.smmu.stalled).toBe(0);
  });

  it("SMMU-075 stalled with a full queue: the record comes with room, the outcome is that of the retry", () => {
    for (const mapped of [false, true]) {
      const { machine, tables, ended, stall, tags } = stalling({ log2Events: 1 });
      machine.ask({ sid: OTHER });
      machine.ask({ sid: OTHER });
      stall();
      expect(machine.read(REG.EVENTQ_PROD)).toBe(2);
      if (mapped) tables.map(VA, PA);
      machine.events();
      if (mapped) {
        expect(ended).toMatchObject([{ sid: SID, outcome: { ok: true, address: PA } }]);
        expect(machine.events()).toEqual([]);
      } else {
        expect(ended).toEqual([]);
        expect(tags()).toHaveLength(1);
      }
    }
  });

  it("SMMU-076 MEV = 0: as many records as faults; a stall is recorded in any case", () => {
    const machine = new SmmuMachine();
    machine.stage1({}, { MEV: 0 });
    for (let n = 0; n < 5; n++) machine.ask();
    expect(machine.events()).toHaveLength(5);
    const { machine: other, stall, tags } = stalling();
    other.setSte({ V: 1, Config: 5, S1ContextPtr: CDS, SHCFG: 1, MEV: 1 });
    for (let n = 0; n < 4; n++) stall();
    expect(new Set(tags()).size).toBe(4);
    aborts(other, { sid: OTHER }, { code: 0x04 });
    expect(other.smmu.stalled).toBe(4);
  });
});
