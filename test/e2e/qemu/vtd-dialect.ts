/**
 * What QEMU's intel-iommu makes of a request where it departs from the architecture, as `divergences.md` lists it.
 *
 * The architecture's answer is our walker's. A check that QEMU lacks is taken out by changing the entry, or the
 * capability, that it is about, and walking again; what QEMU decides in another order, or calls by another number, is
 * read off the walk. So every departure predicts one answer, and an answer that is neither the architecture's nor
 * the predicted one fails the run.
 */
import type { GuestMemory, Outcome, Trace, TraceStep, VtdWalker } from "../../../src/index.ts";
import type { OracleState } from "../../support/vtd-oracle/index.ts";

/** What is seen of a request: the bytes at an address, a fault record, or neither. */
export type Fate = { at: bigint } | { fault: number; information: bigint } | "silence";

export interface Prediction {
  fate: Fate;
  /** Names in `divergences.md`; empty where QEMU follows the architecture. */
  departures: string[];
  /** Where the bytes would go, whatever is there. */
  target: bigint | undefined;
  /** A changed entry is two at once: nothing can be foretold. */
  entangled: boolean;
}

export interface VtdAsk {
  sid: number;
  address: bigint;
}

const PAGE = 0xfffn;
const ECAP = { SC: 1n << 7n, SMPWCS: 1n << 48n } as const;
const FS1GP = 1n << 56n;
const PATCHES = 8;
const LEGACY_TYPES = ["context entry"];

/** Second-stage, root and context conditions of scalable mode, and the legacy numbers QEMU has for them. */
const LEGACY_NUMBERS: Readonly<Record<number, number>> = {
  56: 0x08,
  57: 0x01,
  58: 0x0a,
  64: 0x09,
  65: 0x02,
  66: 0x0b,
  120: 0x07,
  121: 0x05,
  122: 0x0c,
  123: 0x03,
  132: 0x04,
  133: 0x05,
};

/** Ones over bits msb..lsb. */
const mask = (msb: number, lsb: number): bigint => ((1n << BigInt(msb - lsb + 1)) - 1n) << BigInt(lsb);
const bits = (word: bigint, msb: number, lsb: number): bigint =>
  (word >> BigInt(lsb)) & ((1n << BigInt(msb - lsb + 1)) - 1n);

/** Whether bits 63 to width - 1 are alike. */
function isCanonical(address: bigint, width: bigint): boolean {
  const top = address >> (width - 1n);
  return top === 0n || top === mask(63, 0) >> (width - 1n);
}

export class VtdDialect {
  readonly #memory: GuestMemory;
  readonly #state: OracleState;
  readonly #walker: VtdWalker;
  readonly #isRam: (address: bigint) => boolean;
  readonly #scalable: boolean;
  /** Words as they were before patches. */
  #saved: [address: bigint, word: bigint][] = [];
  #ecap = 0n;
  #cap = 0n;
  #rtaddr = 0n;

  constructor(memory: GuestMemory, state: OracleState, walker: VtdWalker, isRam: (address: bigint) => boolean) {
    this.#memory = memory;
    this.#state = state;
    this.#walker = walker;
    this.#isRam = isRam;
    this.#scalable = bits(state.rtaddr, 10, 10) === 1n;
  }

  predict(ask: VtdAsk, outcome: Outcome, recorded: boolean): Prediction {
    const departures: string[] = [];
    this.#cap = this.#state.cap;
    this.#ecap = this.#state.ecap;
    this.#saved = [];
    const architecture = fateOf(ask, outcome, recorded, this.#isRam);
    const plain = { fate: architecture, departures, entangled: false };
    if (!this.#state.translationEnabled) return { ...plain, target: outcome.ok ? outcome.address : undefined };
    this.#rtaddr = this.#state.rtaddr;
    if (bits(this.#rtaddr, 11, 11)) {
      this.#rtaddr &= ~mask(11, 11);
      departures.push("ttm-high-bit-ignored");
    }
    const asWritten = this.#walk(ask);
    let trace = asWritten;
    for (let i = 0; i < PATCHES; i++) {
      const name = this.#forgive(trace);
      if (name === undefined) break;
      departures.push(name);
      trace = this.#walk(ask);
    }
    const fate = this.#decide(ask, trace, departures);
    const patched = new Set(this.#saved.map(([address]) => address));
    const read = [asWritten, trace].map(({ steps }) =>
      steps.flatMap(({ address, words }) => words.map((_, i) => address + BigInt(8 * i))),
    );
    const entangled = read.some((all) => all.some((at, i) => patched.has(at) && all.indexOf(at) !== i));
    for (const [address, word] of this.#saved.reverse()) this.#memory.write64(address, word);
    const target = trace.outcome.ok ? trace.outcome.address : undefined;
    return { fate, departures: [...new Set(departures)], target, entangled };
  }

  #walk({ sid, address }: VtdAsk): Trace {
    this.#walker.configure({ ...this.#state, rtaddr: this.#rtaddr, cap: this.#cap, ecap: this.#ecap });
    return this.#walker.trace({ sid, address, access: "w", probe: true });
  }

  #patch(address: bigint, change: (word: bigint) => bigint): void {
    const word = this.#memory.read64(address);
    this.#saved.push([address, word]);
    this.#memory.write64(address, change(word));
  }

  #clear({ address, words }: TraceStep, masks: readonly bigint[]): boolean {
    if (!masks.some((one, i) => ((words[i] ?? 0n) & one) !== 0n)) return false;
    masks.forEach((one, i) => {
      this.#patch(address + BigInt(8 * i), (word) => word & ~one);
    });
    return true;
  }

  /** Takes out the check that failed, if QEMU does not make it. @returns the departure's name */
  #forgive({ outcome, steps }: Trace): string | undefined {
    const at = steps.at(-1);
    if (outcome.ok || !at) return undefined;
    switch (outcome.code) {
      case 0x0b:
        return this.#forgiveDomain(at);
      case 0x03: {
        const widest = bits(this.#state.cap, 10, 10) ? 2n : 1n;
        const aw = bits(at.words[1] ?? 0n, 2, 0);
        const supported = (bits(this.#state.cap, 12, 8) >> aw) & 1n;
        if (at.structure !== "context entry" || bits(at.words[0] ?? 0n, 3, 2) !== 2n) return undefined;
        if (aw === widest || !supported) return undefined;
        this.#patch(at.address + 8n, (word) => (word & ~7n) | widest);
        return "pt-aw-unchecked";
      }
      case 0x42:
        if (this.#clear(at, [0n, mask(20, 0)])) return "ce-rid-pasid-unchecked";
        return this.#clear(at, [mask(4, 2)]) ? "ce-capabilities-unchecked" : undefined;
      case 0x52:
        return this.#clear(at, [mask(11, 2)]) ? "pasid-directory-reserved-unchecked" : undefined;
      case 0x5a:
        return this.#forgivePasid(at);
      case 0x72:
        if (bits(this.#cap, 56, 56) || at.level !== 3) return undefined;
        this.#cap |= FS1GP;
        return "fs1gp-unchecked";
      case 0x90: {
        const pasid = steps.find(({ structure }) => structure === "PASID table entry");
        if (!pasid) return undefined;
        this.#ecap |= ECAP.SMPWCS;
        this.#patch(pasid.address + 8n, (word) => word | (1n << 23n));
        return "walk-snoop-unchecked";
      }
      case 0x7a:
        if (bits(this.#ecap, 7, 7) || !bits(at.words[0] ?? 0n, 11, 11)) return undefined;
        this.#ecap |= ECAP.SC;
        return "snp-unchecked";
      default:
        return undefined;
    }
  }

  #forgiveDomain({ address, words }: TraceStep): string | undefined {
    const cachingMode = bits(this.#state.cap, 7, 7) === 1n;
    if (!cachingMode || bits(words[1] ?? 0n, 23, 8) !== 0n) return undefined;
    this.#patch(address + 8n, (word) => word | (1n << 8n));
    return "domain-0-unchecked";
  }

  #forgivePasid(at: TraceStep): string | undefined {
    const { address } = at;
    const [first = 0n, second = 0n] = at.words;
    const type = bits(first, 8, 6);
    const secondStage = type === 2n || type === 3n;
    const masks = [
      mask(5, 5) | mask(11, 9) | (secondStage ? 0n : mask(63, 12)),
      mask(63, 16) & ~(this.#ecap & ECAP.SMPWCS ? mask(23, 23) : 0n),
      type === 1n ? mask(1, 0) | mask(11, 4) : mask(63, 0),
      ...[3, 4, 5, 6, 7].map(() => mask(63, 0)),
    ];
    if (this.#clear(at, masks)) return "pasid-reserved-unchecked";
    if (bits(this.#state.cap, 7, 7) && bits(second, 15, 0) === 0n) {
      this.#patch(address + 8n, (word) => word | 1n);
      return "domain-0-unchecked";
    }
    return undefined;
  }

  #decide(ask: VtdAsk, { outcome, steps }: Trace, departures: string[]): Fate {
    const information = ask.address & ~PAGE;
    const fault = (code: number): Fate => ({ fault: code, information });
    const early =
      this.#rootOtherHalf(steps, departures) ??
      this.#unusedPointer(steps, departures) ??
      this.#canonical(ask, steps, departures) ??
      this.#rightsFirst(steps, outcome, departures);
    let code = early ?? this.#farPointer(ask, steps, outcome.ok ? 0 : outcome.code, departures);
    if (code === 0) return fateOf(ask, outcome, false, this.#isRam);
    const silenced = this.#silenced(steps, code, departures);
    if (code === 0x59 && this.#typeIsBad(ask, steps)) {
      departures.push("pasid-type-before-present");
      code = 0x5b;
    }
    if (early === undefined && this.#passThrough(steps) && (code === 0x04 || code === 0x83)) {
      departures.push("pass-through-width-silent");
      return "silence";
    }
    if (silenced) return "silence";
    if (early === undefined) code = this.#number(code, steps, departures);
    if (this.#largestWidth() < 64 && information >> BigInt(this.#largestWidth()) !== 0n)
      departures.push("fi-high-bits");
    return fault(code);
  }

  /** QEMU's number of a condition. */
  #number(code: number, steps: readonly TraceStep[], departures: string[]): number {
    if (code === 0x0e && bits(this.#state.ecap, 43, 43)) {
      departures.push("interrupt-range-number");
      return 0x87;
    }
    if (!this.#scalable || steps.some(({ structure }) => LEGACY_TYPES.includes(structure))) return code;
    const firstStage = steps.some(({ structure }) => structure === "first-stage entry");
    const legacy = firstStage && code === 0x85 ? undefined : LEGACY_NUMBERS[code];
    if (legacy === undefined) return code;
    departures.push("legacy-numbers");
    return legacy;
  }

  /** Widest input address of the unit, in bits. */
  #largestWidth(): number {
    const sagaw = bits(this.#state.cap, 12, 8);
    return sagaw & 8n ? 57 : sagaw & 4n ? 48 : 39;
  }

  #passThrough(steps: readonly TraceStep[]): boolean {
    const last = steps.at(-1)?.words[0] ?? 0n;
    const structure = steps.at(-1)?.structure;
    if (structure === "context entry") return bits(last, 3, 2) === 2n;
    return structure === "PASID table entry" && bits(last, 8, 6) === 4n;
  }

  #rootOtherHalf(steps: readonly TraceStep[], departures: string[]): number | undefined {
    const root = steps.find(({ structure }) => structure === "scalable root entry");
    if (!root || root.words.length < 2) return undefined;
    const reserved = mask(11, 1) | mask(63, this.#state.haw);
    const [low = 0n, high = 0n] = root.words;
    const used = root.checks.some(({ id, failed }) => failed && (id === "SRT.2" || id === "SRT.3"));
    if (used || ((low | high) & reserved) === 0n) return undefined;
    departures.push("root-other-half-checked");
    return 0x0a;
  }

  /** SSPTPTR of a pass-through context, which means nothing, is held to the host's width. */
  #unusedPointer(steps: readonly TraceStep[], departures: string[]): number | undefined {
    const { structure, words = [] } = steps.at(-1) ?? {};
    const [first = 0n] = words;
    if (
      structure !== "context entry" ||
      !bits(first, 0, 0) ||
      bits(first, 3, 2) !== 2n ||
      (first & mask(63, this.#state.haw)) === 0n
    )
      return undefined;
    departures.push("pass-through-pointer-checked");
    return 0x0b;
  }

  /** The limit that QEMU takes from AW, which means nothing for first-stage translation. */
  #canonical({ address }: VtdAsk, steps: readonly TraceStep[], departures: string[]): number | undefined {
    const pasid = steps.find(({ structure }) => structure === "PASID table entry")?.words[0];
    if (pasid === undefined || bits(pasid, 8, 6) !== 1n || !bits(pasid, 0, 0)) return undefined;
    const reached = steps.at(-1)?.structure === "first-stage entry";
    if (!reached || isCanonical(address, 30n + 9n * bits(pasid, 4, 2))) return undefined;
    departures.push("canonical-by-aw");
    return 0x80;
  }

  /** QEMU looks for the right to write in each entry as it reads it, before what is reserved there or wrong below. */
  #rightsFirst(steps: readonly TraceStep[], outcome: Outcome, departures: string[]): number | undefined {
    for (const [i, { structure, words }] of steps.entries()) {
      const [entry] = words;
      if (entry === undefined) continue;
      const code = outcome.ok ? 0 : outcome.code;
      const last = i === steps.length - 1;
      if (structure === "second-stage entry" && !bits(entry, 1, 1)) {
        if (!(last && [0x05, 0x79, 0x85].includes(code))) departures.push("rights-first");
        if (this.#scalable) departures.push("legacy-numbers");
        return 0x05;
      }
      if (structure !== "first-stage entry" || !bits(entry, 0, 0)) continue;
      const found = !bits(entry, 2, 2) ? 0x81 : !bits(entry, 1, 1) ? 0x85 : undefined;
      if (found === undefined) continue;
      if (!(last && code === found)) departures.push("rights-first");
      return found;
    }
    return undefined;
  }

  /** A pointer to where no memory can be is reserved; QEMU follows it, and fails to read. */
  #farPointer({ address }: VtdAsk, steps: readonly TraceStep[], code: number, departures: string[]): number {
    if (code === 0x52) {
      departures.push("pasid-directory-reserved-unchecked");
      return 0x58;
    }
    if (code !== 0x5a) return code;
    departures.push("pasid-reserved-unchecked");
    const [first = 0n] = steps.at(-1)?.words ?? [];
    if (!this.#hasType(bits(first, 8, 6))) return 0x5b;
    const width = 30n + 9n * bits(first, 4, 2);
    if (bits(first, 8, 6) === 1n && bits(steps.at(-1)?.words[2] ?? 0n, 3, 2) !== 0n) return 0x5b;
    if (bits(first, 8, 6) === 1n) return isCanonical(address, width) ? 0x73 : 0x80;
    const limit = bits(this.#state.cap, 21, 16) + 1n;
    return address >> (width < limit ? width : limit) === 0n ? 0x7b : 0x84;
  }

  /** Whether ECAP has FSTS, SSTS, NEST or PT for a PASID entry's PGTT. */
  #hasType(type: bigint): boolean {
    const capability = [undefined, 47, 46, 26, 6][Number(type)];
    return capability !== undefined && bits(this.#state.ecap, capability, capability) === 1n;
  }

  /** Whether FPD suppresses the record in QEMU. */
  #silenced(steps: readonly TraceStep[], code: number, departures: string[]): boolean {
    if ([0x01, 0x08, 0x0a, 0x09, 0x38, 0x39, 0x3a, 0x40, 0x50, 0x58].includes(code)) return false;
    const disabled = (structures: readonly string[]) =>
      steps.some(({ structure, words }) => structures.includes(structure) && bits(words[0] ?? 0n, 1, 1) === 1n);
    if (disabled(["context entry", "scalable context entry"])) {
      const atContext = steps.at(-1)?.structure.endsWith("context entry");
      if (!atContext || ![0x0b, 0x42].includes(code)) return true;
      departures.push("context-fpd-ignored");
      return false;
    }
    if (!disabled(["PASID directory entry", "PASID table entry"])) return false;
    if (![0x51, 0x59, 0x5b].includes(code)) return true;
    departures.push("pasid-fpd-ignored");
    return false;
  }

  /** Whether the entry that is not present would have a type that is not supported. */
  #typeIsBad(ask: VtdAsk, steps: readonly TraceStep[]): boolean {
    const pasid = steps.at(-1);
    if (!pasid) return false;
    this.#patch(pasid.address, (word) => word | 1n);
    let trace = this.#walk(ask);
    for (let i = 0; i < PATCHES && this.#forgive(trace) !== undefined; i++) trace = this.#walk(ask);
    return !trace.outcome.ok && trace.outcome.code === 0x5b;
  }
}

/** What the architecture's outcome looks like from outside. */
export function fateOf(
  { address }: VtdAsk,
  outcome: Outcome,
  recorded: boolean,
  isRam: (address: bigint) => boolean,
): Fate {
  if (outcome.ok) return isRam(outcome.address) ? { at: outcome.address } : "silence";
  return recorded ? { fault: outcome.code, information: address & ~PAGE } : "silence";
}

export function showFate(fate: Fate): string {
  if (fate === "silence") return "refused, no record";
  if ("at" in fate) return `ok 0x${fate.at.toString(16)}`;
  return `fault 0x${fate.fault.toString(16)} at 0x${fate.information.toString(16)}`;
}
