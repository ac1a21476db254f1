/** A hostile guest and a careless host: what the fuzz does to one SMMU, driven by a tape of random words. */
import type { GuestMemory, Request } from "../../src/index.ts";
import { type SmmuOutcome, Smmuv3, type Snapshot } from "../../src/smmuv3/index.ts";
import type { Choices } from "./choices.ts";
import { R } from "./smmu-bench.ts";
import { buildCase, type Case } from "./smmu-cases/case.ts";
import { REGIONS } from "./smmu-cases/image.ts";
import { observable } from "./smmu-compare.ts";
import { eventWords } from "./smmu-events.ts";
import { freshMemory, Overlay, tame } from "./smmu-hostile-memory.ts";
import { type OracleFault, type OracleState, smmuOracle } from "./smmu-oracle/index.ts";
import { CLASS, EVENT } from "./smmu-oracle/model.ts";

const ACTIONS = 40;
const ONES32 = 0xffff_ffff;
const STAG = 0xffffn;

/** How often what happened, to be sure that the fuzz reaches what it is for. */
export const seen: Map<string, number> = new Map();
const count = (what: string): void => void seen.set(what, (seen.get(what) ?? 0) + 1);

/** One run: a unit, and a guest that does what the tape says. */
export class Attack {
  readonly #c: Choices;
  readonly #case: Case;
  readonly #memory: GuestMemory;
  readonly #smmu: Smmuv3;
  readonly #ids: Required<OracleState>;
  readonly #stepped: boolean;
  /** With caches the oracle, which has none, has no say. */
  readonly #isCached: boolean;
  readonly #poisons: bigint[] = [];
  readonly #snapshots: { snapshot: Snapshot; gbpa: number }[] = [];
  /** Event records of the request under way. */
  #written: bigint[][] = [];
  readonly #wrong: string[] = [];
  #gbpa = 0x1000;
  /** An interrupt handler that does things of its own is running. */
  #isNested = false;
  #interrupts = 0;

  constructor(c: Choices) {
    this.#c = c;
    this.#case = buildCase(c, 6);
    this.#memory = freshMemory();
    this.#ids = tame(this.#case.state);
    this.#stepped = c.chance(30);
    this.#isCached = c.chance(30);
    const { idr0: IDR0, idr1: IDR1, idr3: IDR3, idr5: IDR5, aidr: AIDR } = this.#ids;
    this.#smmu = new Smmuv3(this.#memory, {
      ids: { IDR0, IDR1, IDR3, IDR5, AIDR },
      queue: c.chance(30) ? "stepped" : "immediate",
      updates: this.#stepped ? "stepped" : "immediate",
      caches: this.#isCached ? c.pick(["sized", "retain"] as const) : "none",
    });
    this.#smmu.onEvent = (_, words) => void this.#written.push([...words]);
    if (c.chance(50)) this.#smmu.onInterrupt = () => this.#interrupted();
    if (c.chance(30)) this.#smmu.onLine = () => this.#interrupted();
    for (const [address, word] of this.#case.image.words) {
      if (this.#holds(address, 8)) this.#memory.write64(address, word);
    }
    this.#setUp();
  }

  run(): string[] {
    for (let i = 0; i < ACTIONS && this.#wrong.length === 0; i++) this.#act();
    return this.#wrong;
  }

  #setUp(): void {
    const { cr0, cr2, gbpa, strtabBase, strtabBaseCfg } = this.#ids;
    this.#write(R.CR2, cr2);
    this.#write(R.GBPA, (gbpa | 0x8000_0000) >>> 0);
    this.#smmu.mmio.write(R.STRTAB_BASE, 8, strtabBase);
    this.#write(R.STRTAB_BASE_CFG, strtabBaseCfg);
    for (const base of [R.CMDQ_BASE, R.EVENTQ_BASE, R.PRIQ_BASE])
      this.#smmu.mmio.write(base, 8, this.#place() | this.#c.bits(3));
    this.#write(R.CR0, cr0 | 0xe);
    this.#write(R.IRQ_CTRL, this.#c.below(8));
    this.#acknowledge();
  }

  #read(offset: number): number {
    return Number(this.#smmu.mmio.read(offset, 4));
  }
  #write(offset: number, value: number): void {
    this.#smmu.mmio.write(offset, 4, BigInt(value));
    if (!this.#stepped) this.#noteBypass();
  }
  #noteBypass(): void {
    this.#gbpa = this.#read(R.GBPA);
  }
  #acknowledge(): void {
    this.#smmu.acknowledge();
    this.#noteBypass();
  }

  /** Somewhere in RAM, mostly. */
  #place(): bigint {
    const c = this.#c;
    if (c.chance(5)) return c.bits(52) & ~63n;
    return (REGIONS[0] as { base: bigint }).base + (c.bits(20) / 64n) * 64n;
  }

  #holds(address: bigint, bytes: number): boolean {
    return address >> 52n === 0n && this.#memory.contains(address, bytes);
  }

  #sid(): number {
    return this.#c.chance(85) ? this.#request().sid : Number(this.#c.bits(this.#c.pick([4, 16, 32])));
  }
  #request(): Request {
    return this.#c.pick(this.#case.requests);
  }

  #interrupted(): void {
    if (this.#isNested) return;
    this.#isNested = true;
    this.#interrupts++;
    count("interrupt");
    if (this.#c.chance(40)) this.#act();
    this.#isNested = false;
  }

  #act(): void {
    const c = this.#c;
    const actions: [number, () => void][] = [
      [30, () => this.#compare()],
      [14, () => this.#command()],
      [10, () => this.#register()],
      [6, () => this.#rewrite()],
      [5, () => this.#acknowledgeErrors()],
      [5, () => this.#transfer()],
      [5, () => this.#consume()],
      [5, () => void (this.#stepped && this.#acknowledge())],
      [5, () => void this.#smmu.step()],
      [4, () => this.#snapshot()],
      [4, () => this.#bus()],
      [4, () => this.#pages()],
      [3, () => this.#batch()],
      [1, () => this.#reset()],
    ];
    let at = c.below(actions.reduce((sum, [weight]) => sum + weight, 0));
    for (const [weight, action] of actions) {
      if (at < weight) {
        action();
        break;
      }
      at -= weight;
    }
    if (!this.#stepped && this.#read(R.CR0) !== this.#read(R.CR0ACK)) this.#wrong.push("CR0ACK differs from CR0");
  }

  #state(): OracleState {
    const { idr0, idr1, idr3, idr5, aidr } = this.#ids;
    return {
      idr0,
      idr1,
      idr3,
      idr5,
      aidr,
      cr0: this.#read(R.CR0ACK),
      cr2: this.#read(R.CR2),
      gbpa: this.#gbpa,
      strtabBase: this.#smmu.mmio.read(R.STRTAB_BASE, 8),
      strtabBaseCfg: this.#read(R.STRTAB_BASE_CFG),
    };
  }

  /** A request, against the oracle: what the device gets, and the event that is written. */
  #compare(): void {
    const request: Request = { ...this.#request(), sid: this.#sid() };
    if (this.#c.chance(10)) request.address = this.#c.bits(64);
    const overlay = new Overlay(this.#memory, this.#poisons);
    const wanted = smmuOracle(overlay, this.#state(), request);
    // An interrupt of its event can make software send other requests in between.
    const outer = this.#written;
    const written: bigint[][] = [];
    this.#written = written;
    const interrupts = this.#interrupts;
    const outcome: SmmuOutcome = this.#smmu.translate(request);
    this.#written = outer;
    // Software may end a stall from within its interrupt: nothing is left to compare.
    if (wanted.answer === "stall" && outcome.answer !== "stall" && this.#interrupts > interrupts) return;
    if (this.#isCached) {
      count("with caches");
      return;
    }
    const [found, expected] = [observable(request, outcome, wanted), observable(request, wanted, wanted)];
    if (found !== expected) this.#wrong.push(`${describeRequest(request)}: emulator ${found}; oracle ${expected}`);
    count(wanted.ok ? "translated" : `${wanted.answer} ${wanted.code.toString(16)}`);
    const [words] = written;
    if (!wanted.ok && words && wanted.recorded && request.type === "untranslated") {
      // An atomic that might only not read is reported as a read: IHI 0070 13.1.1.
      const mayWrite = (): boolean => smmuOracle(overlay, this.#state(), { ...request, access: "w", probe: true }).ok;
      const isRead =
        request.access === "a" && wanted.code === EVENT.F_PERMISSION && wanted.class === CLASS.IN && mayWrite();
      this.#checkEvent(isRead ? { ...request, access: "r" } : request, wanted, words);
    }
  }

  #checkEvent(request: Request, fault: OracleFault, words: readonly bigint[]): void {
    const expected = eventWords(request, fault, fault).join();
    const found = words.map((word, i) => (i === 1 && fault.answer === "stall" ? word & ~STAG : word)).join();
    if (found !== expected) this.#wrong.push(`${describeRequest(request)}: event ${found}, not ${expected}`);
    count("event compared");
  }

  /** Commands at PROD, likely ones mostly, and PROD moved past them. */
  #command(): void {
    const c = this.#c;
    const log2 = Math.min(Number(this.#smmu.mmio.read(R.CMDQ_BASE, 8) & 31n), 4);
    const size = 2 ** log2;
    const base = this.#smmu.mmio.read(R.CMDQ_BASE, 8) & 0xf_ffff_ffff_ffe0n;
    const aligned = base - (base % BigInt(Math.max(16 * size, 32)));
    let prod = this.#read(R.CMDQ_PROD) % (2 * size);
    for (let n = c.below(size + 1); n >= 0; n--) {
      const at = aligned + BigInt(16 * (prod % size));
      const [low, high] = this.#randomCommand();
      if (this.#holds(at, 16)) {
        this.#memory.write64(at, low);
        this.#memory.write64(at + 8n, high);
      }
      prod = (prod + 1) % (2 * size);
    }
    this.#write(R.CMDQ_PROD, c.chance(5) ? Number(c.bits(20)) : prod);
    count("commands");
  }

  #randomCommand(): [bigint, bigint] {
    const c = this.#c;
    const op = BigInt(c.chance(5) ? c.below(256) : c.pick(OPCODES));
    const low = op | (BigInt(this.#sid()) << 32n);
    if (op === 0x44n) return [low | (c.bits(2) << 12n), c.bits(3)];
    if (op === 0x46n) return [op | (c.bits(2) << 12n) | (c.bits(32) << 32n), this.#place()];
    return [low | (c.rarely(50, 20) << 12n) | (c.rarely(5, 4) << 8n), c.chance(50) ? c.bits(64) : c.bits(6)];
  }

  #register(): void {
    const c = this.#c;
    const offset = c.chance(80) ? c.pick(Object.values(R)) : c.below(0x2_0010);
    const bytes = c.chance(5) ? c.below(17) : c.pick([4, 8]);
    const value = c.pick([
      () => 0n,
      () => c.bits(4),
      () => c.bits(64),
      () => this.#place() | c.bits(5),
      () => BigInt(ONES32),
    ])();
    this.#smmu.mmio.write(offset, bytes, value);
    this.#smmu.mmio.read(c.below(0x2_0010), c.pick([1, 2, 4, 8]));
    if (!this.#stepped) this.#noteBypass();
    count("registers");
  }

  /** A word of the tables, or of anything. */
  #rewrite(): void {
    const c = this.#c;
    const address = c.chance(70) ? c.pick([...this.#case.image.words.keys()]) : this.#place();
    if (!this.#holds(address, 8)) return;
    const held = this.#memory.read64(address);
    this.#memory.write64(address, c.chance(60) ? held ^ (1n << c.bits(6)) : c.bits(64));
    count("tables");
  }

  #acknowledgeErrors(): void {
    this.#write(R.GERRORN, this.#c.chance(80) ? this.#read(R.GERROR) : this.#c.below(512));
  }

  #transfer(): void {
    const c = this.#c;
    const { pasid, address } = this.#request();
    const options = {
      ...(typeof pasid === "number" ? { pasid } : {}),
      translated: c.chance(20),
      privileged: c.chance(30),
      onDone: () => count("resumed transfer"),
    };
    const device = this.#smmu.device(this.#sid());
    device.onInvalidate = () => !c.chance(20);
    const at = c.chance(80) ? address : c.bits(64);
    if (c.chance(50)) device.read(at, c.below(9000), options);
    else device.write(at, new Uint8Array(c.below(9000)).fill(c.below(256)), options);
    if (c.chance(30)) device.requestTranslation(at, { noWrite: c.chance(50), ...options });
    count("transfers");
  }

  /** Software takes events, or pretends to. */
  #consume(): void {
    const prod = this.#read(R.EVENTQ_PROD);
    this.#write(R.EVENTQ_CONS, this.#c.chance(80) ? prod : Number(this.#c.bits(32)));
    this.#write(R.PRIQ_CONS, this.#c.chance(80) ? this.#read(R.PRIQ_PROD) : Number(this.#c.bits(32)));
  }

  #snapshot(): void {
    const kept = this.#c.pick(this.#snapshots);
    if (kept && this.#c.chance(30)) {
      this.#smmu.restore(kept.snapshot);
      this.#gbpa = kept.gbpa;
      count("restored");
      return;
    }
    const snapshot = JSON.parse(JSON.stringify(this.#smmu.snapshot())) as Snapshot;
    this.#smmu.restore(snapshot);
    if (JSON.stringify(this.#smmu.snapshot()) !== JSON.stringify(snapshot))
      this.#wrong.push("a snapshot does not bring everything back");
    this.#snapshots.push({ snapshot, gbpa: this.#gbpa });
    count("snapshots");
  }

  /** Bus errors come and go. */
  #bus(): void {
    if (this.#poisons.length > 8 || this.#c.chance(30)) {
      this.#memory.heal();
      this.#poisons.length = 0;
      return;
    }
    const address = (this.#c.chance(70) ? this.#c.pick([...this.#case.image.words.keys()]) : this.#place()) & ~7n;
    if (address >> 52n) return;
    this.#memory.poison(address, 8);
    this.#poisons.push(address);
    count("bus errors");
  }

  #pages(): void {
    const c = this.#c;
    const outcome = this.#smmu.requestPage({
      sid: this.#sid(),
      ...(c.chance(50) ? { pasid: Number(c.bits(20)) } : {}),
      address: c.bits(64),
      read: c.chance(50),
      write: c.chance(50),
      last: c.chance(50),
      group: c.below(512),
    });
    count(`page request ${outcome}`);
  }

  #batch(): void {
    const { requests } = this.#case;
    const single = requests.map((request) => this.#smmu.translate({ ...request, probe: true }).answer);
    const batch = this.#smmu.batch(requests.length);
    requests.forEach((request, i) => {
      batch.set(i, { ...request, probe: true });
    });
    batch.run(requests.length);
    const many = requests.map((_, i) => batch.get(i).answer);
    if (!this.#isCached && many.join() !== single.join())
      this.#wrong.push(`a batch says ${many.join()}, requests one by one ${single.join()}`);
    count("batches");
  }

  #reset(): void {
    this.#smmu.reset();
    this.#gbpa = 0x1000;
    if (this.#smmu.stalled) this.#wrong.push("stalled after reset");
    this.#setUp();
  }
}

const OPCODES = [
  0x01, 0x02, 0x03, 0x04, 0x05, 0x06, 0x10, 0x11, 0x12, 0x13, 0x20, 0x21, 0x22, 0x23, 0x28, 0x2a, 0x30, 0x40, 0x41,
  0x44, 0x44, 0x44, 0x45, 0x46, 0x46,
];

function describeRequest(request: Request): string {
  return JSON.stringify(request, (_, value: unknown) =>
    typeof value === "bigint" ? `0x${value.toString(16)}` : value,
  );
}
