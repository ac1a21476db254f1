/** SMMUv3, IHI 0070 4.7.3 and 6.3.9: what a CMD_SYNC or an acknowledged register is over with is over in every worker. */
import { afterEach, describe, expect, it } from "vitest";
import { SmmuWalker } from "../../src/index.ts";
import { CD, CR0, OP, REG, STE, words } from "../support/smmu-fields.ts";
import { CDS, DEFAULT_CD, IDS, PA, SID, SmmuMachine, STREAM_BITS, STREAMS, VA } from "../support/smmu-machine.ts";
import { Crew } from "../support/worker-threads.ts";

const WORKERS = 2;
const CHANGES = 16;
const ASID = 1;
const REQUEST = { sid: SID, address: VA };
const STE_AT = STREAMS + BigInt(64 * SID);
const IPA = 0x9000_0000n;

const outputs = Array.from({ length: 8 }, (_, i) => PA + BigInt(i) * 0x1000n);
const outputAt = (epoch: number) => outputs[epoch % outputs.length] as bigint;

describe("SMMU workers and invalidation, IHI 0070 4.7.3", () => {
  let crew: Crew | undefined;
  afterEach(async () => {
    await crew?.end();
    crew = undefined;
  });

  const machine = () => new SmmuMachine({ memory: { shared: true, workspace: 8 << 20 } });

  /** Has workers watch the request while `change(n)` leads from the answer of epoch n - 1 to that of epoch n. */
  async function complaints(
    smmu: Pick<SmmuMachine["smmu"], "share">,
    answers: readonly bigint[],
    change: (epoch: number) => void,
  ) {
    const mine = await Crew.attach(smmu.share(WORKERS));
    crew = mine;
    const wanted = answers.map((answer) => (answer ? answer.toString(16) : "fault"));
    mine.start((shared) => ({ kind: "watch", request: REQUEST, answers: wanted, ...shared }));
    for (let epoch = 1; epoch <= CHANGES; epoch++) {
      change(epoch);
      mine.next();
    }
    return (await mine.stop()).flat();
  }

  it("a page mapped elsewhere: TLBI_NH_VA and SYNC", async () => {
    const m = machine();
    const tables = m.stage1();
    tables.map(VA, outputAt(0));
    const found = await complaints(m.smmu, outputs, (epoch) => {
      tables.map(VA, outputAt(epoch));
      m.command(OP.TLBI_NH_VA, { ASID, Address: VA });
      m.sync();
    });
    expect(found).toEqual([]);
  });

  it("control: workers of a walker that nobody tells answer by the old page, and the watch sees it", async () => {
    const m = machine();
    const tables = m.stage1();
    tables.map(VA, outputAt(0));
    const ids = { idr0: IDS.IDR0, idr1: IDS.IDR1, idr3: IDS.IDR3, idr5: IDS.IDR5, aidr: IDS.AIDR };
    const registers = { cr0: CR0.SMMUEN, strtabBase: STREAMS, strtabBaseCfg: STREAM_BITS };
    const untold = new SmmuWalker(m.memory, { ...ids, ...registers }, "retain");
    const found = await complaints(untold, outputs, (epoch) => {
      tables.map(VA, outputAt(epoch));
      m.command(OP.TLBI_NH_VA, { ASID, Address: VA });
      m.sync();
    });
    expect(found).not.toEqual([]);
  });

  it("a CD with another table: V = 0, CFGI_CD, then TLBI_NH_ASID", async () => {
    const m = machine();
    m.stage1();
    const cds = outputs.map((output) => {
      const tables = m.tables(12, 48, 0);
      tables.map(VA, output, { nG: 1 });
      return words(CD, 8, { ...DEFAULT_CD, TTB0: tables.base, TTB1: tables.base });
    });
    m.store(CDS, cds[0] as bigint[]);
    m.invalidateAll();
    const answers = outputs.flatMap((output) => [output, 0n]);
    const found = await complaints(m.smmu, answers, (epoch) => {
      const cd = cds[(epoch / 2) % cds.length] as bigint[];
      if (epoch % 2) m.store(CDS, [0n]);
      else {
        m.store(CDS + 8n, cd.slice(1));
        m.store(CDS, cd.slice(0, 1));
      }
      m.command(OP.CFGI_CD, { SID });
      m.command(OP.TLBI_NH_ASID, { ASID });
      m.sync();
    });
    expect(found).toEqual([]);
  });

  it("an STE with another CD: CFGI_STE, then TLBI_NH_ASID", async () => {
    const m = machine();
    m.stage1();
    const pointers = outputs.map((output, i) => {
      const tables = m.tables(12, 48, 0);
      tables.map(VA, output, { nG: 1 });
      const at = CDS + 0x1000n * BigInt(i);
      m.store(at, words(CD, 8, { ...DEFAULT_CD, TTB0: tables.base, TTB1: tables.base }));
      return at;
    });
    m.invalidateAll();
    const found = await complaints(m.smmu, outputs, (epoch) => {
      // One word, written at one go.
      m.store(STE_AT, [words(STE, 1, { V: 1, Config: 5, S1ContextPtr: pointers[epoch % 8] as bigint })[0] as bigint]);
      m.command(OP.CFGI_STE, { SID, Leaf: 1 });
      m.command(OP.TLBI_NH_ASID, { ASID });
      m.sync();
    });
    expect(found).toEqual([]);
  });

  it("behind both stages, another page of stage 2: TLBI_S2_IPA, then TLBI_NH_ALL", async () => {
    const m = machine();
    const { first, second } = m.nested();
    first.map(VA, IPA);
    second.map2(IPA, outputAt(0));
    const found = await complaints(m.smmu, outputs, (epoch) => {
      second.map2(IPA, outputAt(epoch));
      m.command(OP.TLBI_S2_IPA, { VMID: 1, Address: IPA });
      m.command(OP.TLBI_NH_ALL, { VMID: 1 });
      m.sync();
    });
    expect(found).toEqual([]);
  });

  it("SMMUEN = 0: addresses go through as they are once it is acknowledged", async () => {
    const m = machine();
    const tables = m.stage1();
    tables.map(VA, outputAt(0));
    const answers = outputs.flatMap((output) => [output, VA]);
    const found = await complaints(m.smmu, answers, (epoch) => {
      if (epoch % 2 === 0) {
        tables.map(VA, answers[epoch % answers.length] as bigint);
        m.command(OP.TLBI_NH_ALL, { VMID: 0 });
        m.sync();
      }
      m.write(REG.CR0, CR0.CMDQEN | CR0.EVENTQEN | (epoch % 2 ? 0 : CR0.SMMUEN));
    });
    expect(found).toEqual([]);
  });
});
