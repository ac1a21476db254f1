/**
 * What QEMU's SMMUv3 makes of a request where it departs from the architecture, as `divergences.md` lists it.
 *
 * Made as the VT-d one: checks that QEMU lacks are taken out by changing the entry and walking again, its order and its
 * own checks are read off the walk. Cases whose departures can't be foretold so are left out, by name.
 */
import type { GuestMemory, Outcome, SmmuWalker, Trace, TraceStep } from "../../../src/index.ts";
import { eventWords } from "../../support/smmu-events.ts";
import { featuresOf, type OracleState } from "../../support/smmu-oracle/model.ts";

/** What is seen: bytes at an address, an event, or neither. */
export type Fate = { at: bigint } | { event: string } | "silence";

export interface Prediction {
  fate: Fate;
  departures: string[];
  target: bigint | undefined;
  /** Why nothing can be foretold; see `divergences.md`, "Kept out". */
  leftOut: string | undefined;
}

export interface SmmuAsk {
  sid: number;
  address: bigint;
}

const PATCHES = 8;
const mask = (msb: number, lsb: number): bigint => ((1n << BigInt(msb - lsb + 1)) - 1n) << BigInt(lsb);
/** Bits of a structure; absolute, as printed. */
const field = (words: readonly bigint[], msb: number, lsb: number): bigint =>
  ((words[lsb >> 6] ?? 0n) >> BigInt(lsb & 63)) & ((1n << BigInt(msb - lsb + 1)) - 1n);

/** Bits of output sizes, by IPS or S2PS. */
const SIZES = [32, 36, 40, 42, 44, 48, 52];

export class SmmuDialect {
  readonly #memory: GuestMemory;
  readonly #walker: SmmuWalker;
  readonly #isRam: (address: bigint) => boolean;
  readonly #oas: number;
  #saved: [address: bigint, word: bigint][] = [];
  #privileged = false;

  constructor(memory: GuestMemory, state: OracleState, walker: SmmuWalker, isRam: (address: bigint) => boolean) {
    this.#memory = memory;
    this.#walker = walker;
    this.#isRam = isRam;
    this.#oas = featuresOf(state).oas;
    walker.configure(state);
  }

  predict(ask: SmmuAsk): Prediction {
    const departures: string[] = [];
    this.#saved = [];
    this.#privileged = false;
    const asWritten = this.#walk(ask);
    this.#oneTopByte(ask, asWritten, departures);
    let trace = this.#walk(ask);
    for (let i = 0; i < PATCHES; i++) {
      const name = this.#forgive(trace);
      if (name === undefined) break;
      departures.push(name);
      trace = this.#walk(ask);
    }
    const fate = this.#decide(ask, trace, departures);
    const patched = new Set(this.#saved.map(([address]) => address));
    for (const [address, word] of this.#saved.reverse()) this.#memory.write64(address, word);
    const entangled = [asWritten, trace].some(({ steps }) => repeats(steps, patched));
    const leftOut = entangled ? "an entry in two roles" : (keptOut(asWritten) ?? keptOut(trace));
    const target = trace.outcome.ok ? trace.outcome.address : undefined;
    return { fate, departures: [...new Set(departures)], target, leftOut };
  }

  #walk({ sid, address }: SmmuAsk): Trace {
    return this.#walker.trace({ sid, address, access: "w", probe: true, privileged: this.#privileged });
  }

  /** Changes bits msb..lsb of the structure at `address`. */
  #patch({ address }: TraceStep, msb: number, lsb: number, value: bigint): void {
    const at = address + BigInt(8 * (lsb >> 6));
    const word = this.#memory.read64(at);
    this.#saved.push([at, word]);
    this.#memory.write64(at, (word & ~mask(msb & 63, lsb & 63)) | (value << BigInt(lsb & 63)));
  }

  /** For the upper half QEMU takes TBI0. */
  #oneTopByte({ address }: SmmuAsk, { steps }: Trace, departures: string[]): void {
    const cd = steps.find(({ structure }) => structure === "CD");
    if (!cd || !field([address], 55, 55)) return;
    const both = field(cd.words, 39, 38);
    if (both === 0n || both === 3n) return;
    departures.push("tbi1-is-tbi0");
    this.#patch(cd, 39, 39, both & 1n);
  }

  /** Takes out the check that failed, if QEMU does not make it. */
  #forgive({ outcome, steps }: Trace): string | undefined {
    const ste = steps.find(({ structure }) => structure === "STE");
    const cd = steps.find(({ structure }) => structure === "CD");
    if (outcome.ok || !ste) return undefined;
    switch (outcome.check) {
      case "STE.S2HA,S2HD":
        this.#patch(ste, 184, 183, 0n);
        return "s2ha-unchecked";
      case "PTE.S2PTW":
        this.#patch(ste, 182, 182, 0n);
        return "s2ptw-unchecked";
      case "PTE.permission":
        if (outcome.stage !== 1 || outcome.class !== 2 || !cd || this.#privileged) return undefined;
        this.#privileged = true;
        this.#patch(cd, 40, 40, 0n);
        return "unprivileged-unchecked";
      default:
        return undefined;
    }
  }

  #decide(ask: SmmuAsk, trace: Trace, departures: string[]): Fate {
    const { outcome, steps } = trace;
    const ste = steps.find(({ structure }) => structure === "STE");
    if (ste && this.#badSte(ste, departures)) return { event: `4 sid 0x${ask.sid.toString(16)}` };
    const cd = steps.find(({ structure }) => structure === "CD");
    if (cd && (outcome.ok || !outcome.check.startsWith("CD.")) && field(cd.words, 43, 42) === 3n) {
      departures.push("ha-hd-pair");
      return { event: `a sid 0x${ask.sid.toString(16)}` };
    }
    const atCd = !outcome.ok && (outcome.check.startsWith("CD.") || outcome.class === 0);
    const base = atCd ? undefined : this.#tableBases(ask, steps, departures);
    if (base !== undefined) return base;
    if (this.#tableRights(ask, steps, outcome)) {
      if (outcome.ok || outcome.check !== "PTE.permission") departures.push("aptable-first");
      return this.#event(ask, steps, { code: 0x13, stage: 1, class: 2 });
    }
    if (outcome.ok) return fateOf(ask, outcome, this.#isRam);
    if (outcome.check === "bypass.OAS" || outcome.check === "bypass.IAS") {
      departures.push("untranslated-size-silent");
      return "silence";
    }
    if (outcome.stage === 2 && outcome.class === 1) {
      departures.push("nested-table-fault-is-stage-1");
      const isFollowed = outcome.check === "PTE.address" && ste !== undefined && isTable(steps, ste, 2);
      if (isFollowed) departures.push("table-address-size-unchecked");
      return this.#event(ask, steps, { code: isFollowed ? 0x0b : outcome.code, stage: 1, class: 1 });
    }
    if (outcome.check === "PTE.address") return this.#wideDescriptor(ask, trace, outcome.stage, departures);
    if (outcome.code === 0x02 && !outcome.recorded) departures.push("recinvsid-ignored");
    const recorded = outcome.recorded || outcome.code === 0x02;
    return fateOf(ask, { ...outcome, recorded }, this.#isRam);
  }

  /** With both stages, QEMU translates the bases of both halves when it reads the CD, and the first fault ends it. */
  #tableBases(ask: SmmuAsk, steps: readonly TraceStep[], departures: string[]): Fate | undefined {
    const ste = steps.find(({ structure }) => structure === "STE");
    const cd = steps.find(({ structure }) => structure === "CD");
    if (!ste || !cd || field(ste.words, 3, 1) !== 7n) return undefined;
    for (const [disabled, msb, lsb] of [
      [14, 115, 68],
      [30, 179, 132],
    ] as const) {
      if (field(cd.words, disabled, disabled)) continue;
      const base = field(cd.words, msb, lsb) << 4n;
      const saved = this.#saved.length;
      this.#patch(ste, 3, 1, 6n);
      const { outcome, steps: saw } = this.#walker.trace({ sid: ask.sid, address: base, access: "r", probe: true });
      for (const [address, word] of this.#saved.splice(saved)) this.#memory.write64(address, word);
      if (outcome.ok) continue;
      departures.push("table-bases-translated-first");
      const code = outcome.check === "PTE.address" && isTable(saw, ste, 2) ? 0x0b : outcome.code;
      return this.#event(ask, steps, { code, stage: 2, class: 1, ipa: base });
    }
    return undefined;
  }

  /** A descriptor whose address is too large: QEMU follows a table, and looks at the rights of a leaf first. */
  #wideDescriptor(ask: SmmuAsk, { outcome, steps }: Trace, stage: number, departures: string[]): Fate {
    if (outcome.ok) return "silence";
    const at = steps.at(-1);
    const config = steps.find(({ structure }) => structure === (stage === 1 ? "CD" : "STE"));
    if (!at || !config) return fateOf(ask, outcome, this.#isRam);
    const [bigEndian, affd] =
      stage === 1
        ? [field(config.words, 15, 15), field(config.words, 35, 35)]
        : [field(config.words, 180, 180), field(config.words, 181, 181)];
    const entry = bigEndian ? swap(at.words[0] ?? 0n) : (at.words[0] ?? 0n);
    const place = { stage, class: outcome.class };
    if (isTable(steps, config, stage)) {
      departures.push("table-address-size-unchecked");
      const nested = stage === 1 && steps.some(({ structure, stage: of }) => structure === "descriptor" && of === 2);
      if (nested) return this.#event(ask, steps, { stage, class: 1, code: 0x11 });
      return this.#event(ask, steps, { stage, class: stage === 2 ? outcome.class : 1, code: 0x0b });
    }
    const unaccessed = !field([entry], 10, 10) && !affd;
    // What stage 2 translates for the SMMU itself, it reads.
    const right = outcome.class === 2 ? 7 : 6;
    const denied = stage === 1 ? field([entry], 7, 7) : !field([entry], right, right);
    if (!unaccessed && !denied) return fateOf(ask, outcome, this.#isRam);
    departures.push("rights-before-address-size");
    return this.#event(ask, steps, { ...place, code: unaccessed ? 0x12 : 0x13, ipa: outcome.ipa });
  }

  /** Whether a table on the way takes the right to write: QEMU stops there. */
  #tableRights({ address }: SmmuAsk, steps: readonly TraceStep[], outcome: Outcome): boolean {
    const cd = steps.find(({ structure }) => structure === "CD");
    if (!cd) return false;
    const bigEndian = field(cd.words, 15, 15) === 1n;
    const hierarchyOff = (field([address], 55, 55) ? field(cd.words, 129, 129) : field(cd.words, 65, 65)) === 1n;
    const walk = steps.filter(({ structure, stage }) => structure === "descriptor" && stage === 1);
    for (const [i, { words, level }] of walk.entries()) {
      const entry = bigEndian ? swap(words[0] ?? 0n) : (words[0] ?? 0n);
      const isTable = level < 3 && field([entry], 1, 0) === 3n;
      const failed =
        i === walk.length - 1 &&
        !outcome.ok &&
        ["PTE.fetch", "PTE.valid"].includes(outcome.check) &&
        words.length === 0;
      if (isTable && !failed && field([entry], 62, 62) && !hierarchyOff) return true;
    }
    return false;
  }

  /** An event, if the stage's R bit lets it be recorded. */
  #event(
    ask: SmmuAsk,
    steps: readonly TraceStep[],
    fault: { code: number; stage: number; class: number; ipa?: bigint },
  ): Fate {
    const cd = steps.find(({ structure }) => structure === "CD");
    const ste = steps.find(({ structure }) => structure === "STE");
    const recorded = fault.stage === 1 ? field(cd?.words ?? [], 45, 45) : field(ste?.words ?? [], 186, 186);
    if (fault.code !== 0x0b && !recorded) return "silence";
    const words = eventWords(
      { ...ask, access: "w" },
      { answer: "abort", ipa: 0n, fetchAddress: 0n, tableWrite: false, ...fault },
      { privileged: false, instruction: false },
    );
    return { event: showEvent(words) };
  }

  /** Checks of the STE that the architecture does not have, or has otherwise. */
  #badSte({ words }: TraceStep, departures: string[]): boolean {
    if (field(words, 0, 0) === 0n || field(words, 3, 3) === 0n) return false;
    const config = field(words, 3, 1);
    const found = (name: string) => {
      departures.push(name);
      return true;
    };
    if ((config & 3n) !== 0n && field(words, 63, 59) !== 0n) return found("s1cdmax-nonzero");
    if (config === 6n && field(words, 91, 91) !== 0n) return found("s1stalld-without-stage-1");
    if ((config & 2n) === 2n) {
      const size = Math.min(SIZES[Number(field(words, 178, 176))] ?? 48, this.#oas);
      if (64n - field(words, 165, 160) > BigInt(size)) return found("s2t0sz-bounded-by-s2ps");
    }
    return false;
  }
}

/** Whether the last descriptor read, of a stage that `config` (CD or STE) sets up, is a table's. */
function isTable(steps: readonly TraceStep[], config: TraceStep, stage: number): boolean {
  const { words = [], level = 3 } = steps.at(-1) ?? {};
  const bigEndian = stage === 1 ? field(config.words, 15, 15) : field(config.words, 180, 180);
  const entry = bigEndian ? swap(words[0] ?? 0n) : (words[0] ?? 0n);
  return level < 3 && field([entry], 1, 0) === 3n;
}

/** Checks whose absence in QEMU leads to what a walk of the architecture does not have. */
const UNFORESEEN = ["STE.S2SL0", "STE.S1ContextPtr", "L1STD.Span", "L1STD.index", "PTE.type"];
/** log2 of the granule, by TG0 and S2TG; by TG1. */
const GRANULE0 = [12, 16, 14];
const GRANULE1 = [0, 14, 12, 16];

/** What makes QEMU's answer depend on things that a walk of the architecture does not have. */
function keptOut({ outcome, steps }: Trace): string | undefined {
  if (!outcome.ok && UNFORESEEN.includes(outcome.check)) return outcome.check;
  const ste = steps.find(({ structure }) => structure === "STE")?.words;
  const cd = steps.find(({ structure }) => structure === "CD")?.words;
  const l1std = steps.find(({ structure }) => structure === "L1STD")?.words;
  if (field(l1std ?? [], 63, 52) || field(ste ?? [], 55, 52)) return "pointers with bits above 51";
  if (!ste || !field(ste, 2, 2) || !field(ste, 3, 3)) return undefined;
  const granule = GRANULE0[Number(field(ste, 175, 174))] ?? 12;
  const sl0 = Number(field(ste, 167, 166));
  const start = granule === 12 ? ([2, 1, 0, 3][sl0] ?? 0) : 3 - sl0;
  const index = 64 - Number(field(ste, 165, 160)) - granule - (3 - start) * (granule - 3);
  if (index > granule - 3) return "concatenated start tables";
  if (!cd || !field(ste, 1, 1)) return undefined;
  if (!outcome.ok && outcome.check === "CD.TTBx") return "nested, a table base out of range";
  const larger = [GRANULE0[Number(field(cd, 7, 6))] ?? 12, GRANULE1[Number(field(cd, 23, 22))] ?? 12].some(
    (one) => one > granule,
  );
  return larger ? "stage 1 tables larger than stage 2 pages" : undefined;
}

/** Whether a patched word was read as more than one entry. */
function repeats(steps: readonly TraceStep[], patched: ReadonlySet<bigint>): boolean {
  const read = steps.flatMap(({ address, words }) => words.map((_, i) => address + BigInt(8 * i)));
  return read.some((at, i) => patched.has(at) && read.indexOf(at) !== i);
}

function swap(word: bigint): bigint {
  const view = new DataView(new ArrayBuffer(8));
  view.setBigUint64(0, word, true);
  return view.getBigUint64(0, false);
}

const CLASSED = [0x0b, 0x10, 0x11, 0x12, 0x13];

/** The part of an event record that is compared. */
export function showEvent(words: readonly bigint[]): string {
  const number = Number(field(words, 7, 0));
  let text = `${number.toString(16)} sid 0x${field(words, 63, 32).toString(16)}`;
  if (CLASSED.includes(number)) {
    text += ` class ${field(words, 105, 104)} S2 ${field(words, 103, 103)} address 0x${field(words, 191, 128).toString(16)}`;
  }
  if (number >= 0x10 && field(words, 103, 103) === 1n) text += ` ipa 0x${(field(words, 243, 204) << 12n).toString(16)}`;
  return text;
}

/** What the architecture's outcome looks like from outside. */
export function fateOf({ sid, address }: SmmuAsk, outcome: Outcome, isRam: (address: bigint) => boolean): Fate {
  if (outcome.ok) return isRam(outcome.address) ? { at: outcome.address } : "silence";
  if (!outcome.recorded || outcome.code === 0) return "silence";
  const words = eventWords({ sid, address, access: "w" }, outcome, { privileged: false, instruction: false });
  return { event: showEvent(words) };
}

export function showFate(fate: Fate): string {
  if (fate === "silence") return "refused, no record";
  return "at" in fate ? `ok 0x${fate.at.toString(16)}` : `event 0x${fate.event}`;
}
