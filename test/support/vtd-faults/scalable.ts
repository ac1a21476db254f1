/** Faults of scalable mode up to the PASID entry (conditions SRT.*, SCT.*, SPD.*, SPT.*). */
import { FIRST, NESTED, RID_PASID, type ScalableGuest, SECOND, SID } from "../vtd-guest.ts";
import { ALL, type Answers, always, bit, change, clear, poison, qualified, type Row, set } from "./row.ts";

type Rows = readonly Row<ScalableGuest>[];

const root = ({ guest }: ScalableGuest) => guest.tables.rootEntry(SID);
const directory = ({ guest }: ScalableGuest) => guest.tables.directoryEntry(SID, RID_PASID);
const entryOf = ({ entry }: ScalableGuest, pasid: number): bigint => entry[pasid] as bigint;

/** Bit `n` of the context entry, which is reserved while ECAP bit `capability` is 0. */
function contextNeeds(n: number, capability: number): Row<ScalableGuest> {
  return qualified(0x42, "SCT.3", "ur ca ur", (g) => set(g, g.context, n), { without: { ecap: bit(capability) } });
}

/** The same of the PASID entry. */
function entryNeeds(n: number, capability: number): Row<ScalableGuest> {
  const arrange = (g: ScalableGuest) => ({ ...set(g, entryOf(g, FIRST), n), pasid: FIRST });
  return qualified(0x5a, "SPT.3", "ur ca -", arrange, { without: { ecap: bit(capability) } });
}

/** A row for a PASID entry that also a translated request reads, because of HPTE. */
function deep(code: number, check: string, answers: Answers, arrange: (g: ScalableGuest) => object) {
  const make = code === 0x50 || code === 0x58 ? always : qualified;
  return make<ScalableGuest>(code, check, answers, arrange, { context: { HPTE: 1 } });
}

export const CONTEXTS: Rows = [
  always(0x34, "RTA.5", "ur ur ur", () => ({ pasid: FIRST, access: "x" }), { state: { version: 0x80 } }),
  always(0x38, "SRT.1", "ur ca ur", (g) => poison(g, root(g))),
  always(0x39, "SRT.2", "ur ur ur", (g) => clear(g, root(g), 0)),
  ...[1, 11, 46, 63].map((n) => always(0x3a, "SRT.3", "ur ca ur", (g: ScalableGuest) => set(g, root(g), n))),
  always(0x40, "SCT.1", "ur ca ur", (g) => poison(g, g.context + 24n, 1)),
  qualified(0x41, "SCT.2", "ur ur ur", (g) => clear(g, g.context, 0)),
  ...[7, 8, 46, 63, 85, 127, 128, 191, 192, 255].map((n) =>
    qualified(0x42, "SCT.3", "ur ca ur", (g: ScalableGuest) => set(g, g.context, n)),
  ),
  contextNeeds(2, 2), // DTE
  contextNeeds(3, 40), // PASIDE
  contextNeeds(4, 29), // PRE
  contextNeeds(5, 55), // HPTE
  contextNeeds(6, 56), // EPTR
  contextNeeds(64, 49), // RID_PASID
  contextNeeds(84, 53), // RID_PRIV
  qualified(0x43, "SCT.4.1", "ur ca ur", (g) => clear(g, g.context, 2)), // PRE = 1, DTE = 0
  qualified(0x43, "SCT.4.2", "ur ca ur", () => ({}), { context: { RID_PASID: 0x2000 } }),
  qualified(0x43, "SCT.4.3", "ur ca ur", () => ({}), { context: { EPTR: 1, PASIDE: 0 } }),
  qualified(0x44, "SCT.5", "- ur ur", () => ({}), { context: { DTE: 0, PRE: 0 } }),
  qualified(0x45, "SCT.6", "ur ur -", () => ({ pasid: FIRST }), { context: { PASIDE: 0 } }),
  qualified(0x46, "SCT.7", "ur ur ur", () => ({ pasid: 0x2000 }), { context: { EPTR: 1 } }),
  qualified(0x48, "SCT.9", "ur ur ur", () => ({ pasid: RID_PASID }), { context: { EPTR: 1 } }),
  qualified(0x49, "SCT.10", "- - ur", () => ({ pasid: FIRST })),
  // PSS = 16: 17 bits.
  qualified(0x89, "SGN.10", "ur ur ur", () => ({ pasid: 0x2_0000 }), {
    context: { EPTR: 1, PDTS: 7 },
    without: { ecap: bit(35) | bit(36) },
  }),
];

export const PASIDS: Rows = [
  deep(0x50, "SPD.1", "ur ca ca", (g) => poison(g, directory(g))),
  deep(0x51, "SPD.2", "ur s0 ur", (g) => clear(g, directory(g), 0)),
  ...[2, 11, 46, 63].map((n) => deep(0x52, "SPD.3", "ur ca ca", (g) => set(g, directory(g), n))),
  deep(0x58, "SPT.1", "ur ca ca", (g) => poison(g, entryOf(g, RID_PASID) + 63n, 1)),
  // An entry that is all zero is not present, before anything else is wrong with it.
  deep(0x59, "SPT.2", "ur s0 ur", (g) => change(g, entryOf(g, RID_PASID), ALL)),
  ...[
    5, 10, 46, 63, 80, 86, 91, 95, 99, 127, 129, 136, 139, 174, 191, 192, 255, 259, 267, 302, 319, 336, 383, 384, 447,
    448, 511,
  ].map((n) => deep(0x5a, "SPT.3", "ur ca ca", (g) => set(g, entryOf(g, RID_PASID), n))),
  entryNeeds(9, 45), // SSADE
  entryNeeds(87, 48), // PWSNP
  entryNeeds(88, 7), // PGSNP
  entryNeeds(89, 25), // CD
  entryNeeds(90, 25), // EMTE
  entryNeeds(96, 25), // PAT
  entryNeeds(128, 31), // SRE
  entryNeeds(135, 34), // EAFE
  entryNeeds(256, 55), // HPTSZ
  entryNeeds(268, 55), // HPTPTR
  entryNeeds(320, 55), // HPTDID
  entryNeeds(20, 46), // SSPTPTR
  qualified(0x5a, "SPT.3", "ur ca -", (g) => ({ ...set(g, entryOf(g, FIRST), 68), pasid: FIRST }), {
    without: { cap: 7n }, // ND = 0: domain ids have 4 bits
  }),
  qualified(0x5a, "SPT.3", "ur ca -", (g) => ({ ...change(g, entryOf(g, FIRST) + 8n, 5n), pasid: FIRST }), {
    with: { cap: bit(7) }, // CM = 1: domain 0
  }),
  qualified(0x5b, "SPT.4.1", "ur ca -", (g) => ({
    ...change(g, entryOf(g, SECOND), 0b11100n, 0b10000n),
    pasid: SECOND,
  })),
  ...[0n, 5n, 6n, 7n].map((pgtt) =>
    qualified(0x5b, "SPT.4.2", "ur ca -", (g: ScalableGuest) => ({
      ...change(g, entryOf(g, FIRST), 0b111_000000n, pgtt << 6n),
      pasid: FIRST,
    })),
  ),
  qualified(0x5b, "SPT.4.2", "ur ca -", () => ({ pasid: NESTED }), { without: { ecap: bit(26) } }),
  qualified(0x5b, "SPT.4.3", "ur ca -", (g) => ({ ...set(g, entryOf(g, FIRST), 131), pasid: FIRST })),
  qualified(0x5b, "SPT.4.3", "ur ca -", (g) => ({ ...set(g, entryOf(g, FIRST), 130), pasid: FIRST }), {
    without: { cap: bit(60) }, // FS5LP = 0
  }),
  qualified(0x5b, "SPT.4.4", "ur ca -", (g) => {
    change(g, entryOf(g, NESTED), 0b11100n, 0b00100n); // AW = 1: 39 bits
    return { ...set(g, entryOf(g, NESTED), 128 + 39), pasid: NESTED };
  }),
  qualified(0x5c, "SPT.5", "ur s0 -", () => ({ pasid: FIRST, access: "x" }), { state: { version: 0x70 } }),
  qualified(0x5d, "SPT.6", "ur s0 -", () => ({ pasid: FIRST, privileged: true })),
  qualified(0x5d, "SPT.6", "ur s0 -", () => ({}), { context: { RID_PRIV: 1 } }),
];
