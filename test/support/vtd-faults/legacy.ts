/** Faults of legacy mode (VT-d 7.1, conditions RTA.*, LRT.*, LCT.*, LGN.*, LSS.*). */
import { DATA, type GuestOptions, SID, VtdGuest } from "../vtd-guest.ts";
import { ADDRESS, always, type Broken, bit, change, clear, FEE, poison, qualified, type Row, set } from "./row.ts";

export interface LegacyGuest extends Broken {
  leaf: bigint;
}

/** One device with a four-level second stage that maps 0x1000 to DATA; ATS allowed. */
export function legacyGuest(options: GuestOptions = {}, fields: Record<string, number> = {}): LegacyGuest {
  const guest = new VtdGuest({ ...options, mode: "legacy" });
  const second = guest.tables.secondStage(2);
  const leaf = second.map(0x1000n, DATA);
  const context = guest.tables.setContext(SID, { TT: 1, AW: 2, DID: 5, ...fields }, second);
  return { guest, context, leaf };
}

const mode = (rtaddr: bigint) => (g: LegacyGuest) => {
  g.guest.configure({ rtaddr: g.guest.tables.rtaddr | rtaddr });
  return {};
};
const root = ({ guest }: LegacyGuest) => guest.tables.rootEntry(SID);

export const LEGACY: readonly Row<LegacyGuest>[] = [
  always(0x30, "RTA.1.1", "ur ca ur", mode(bit(11))), // TTM = 10b
  always(0x30, "RTA.1.1", "ur ca ur", mode(bit(10)), { without: { ecap: bit(43) } }), // SMTS = 0, TTM = 01b
  always(0x30, "RTA.1.1", "ur ca ur", mode(bit(10) | bit(11)), { without: { ecap: bit(52) } }), // ADMS = 0, 11b
  always(0x30, "RTA.1.4", "ur ca ur", mode(bit(7))), // SSIRWE
  always(0x31, "RTA.2", "ur ur ur", () => ({ pasid: 1 })),
  always(0x33, "RTA.4", "ur ur ur", mode(bit(10) | bit(11))),
  always(0x08, "LRT.1", "ur ca ur", (g) => poison(g, root(g))),
  always(0x01, "LRT.2", "ur ur ur", (g) => clear(g, root(g), 0)),
  ...[1, 11, 46, 63, 64, 127].map((n) => always(0x0a, "LRT.3", "ur ca ur", (g: LegacyGuest) => set(g, root(g), n))),
  always(0x09, "LCT.1", "ur ca ur", (g) => poison(g, g.context + 8n, 1)),
  qualified(0x02, "LCT.2", "ur ur ur", (g) => clear(g, g.context, 0)),
  ...[4, 11, 46, 63, 71, 88, 127].map((n) =>
    qualified(0x0b, "LCT.3", "ur ca ur", (g: LegacyGuest) => set(g, g.context, n)),
  ),
  // ND = 0: domain ids have 4 bits. CM = 1: domain 0 is the hardware's.
  qualified(0x0b, "LCT.3", "ur ca ur", (g) => set(g, g.context, 76), { without: { cap: 7n } }),
  qualified(0x0b, "LCT.3", "ur ca ur", () => ({}), { context: { DID: 0 }, with: { cap: bit(7) } }),
  qualified(0x03, "LCT.4.1", "ur ca ur", (g) => set(g, g.context, 66)), // AW = 6
  qualified(0x03, "LCT.4.1", "ur - -", () => ({}), { context: { TT: 2 } }), // pass-through demands the widest
  qualified(0x03, "LCT.4.2", "ur ca ur", (g) => set(g, g.context, 3)), // TT = 3
  qualified(0x03, "LCT.4.2", "ur ca ur", () => ({}), { without: { ecap: bit(2) } }), // DT = 0, TT = 1
  qualified(0x03, "LCT.4.2", "ur ca ur", () => ({}), { without: { ecap: bit(6) }, context: { TT: 2, AW: 3 } }), // PT = 0
  qualified(0x03, "LCT.4.3", "ur ca -", (g) => poison(g, g.guest.memory.read64(g.context) & ADDRESS)),
  qualified(0x0d, "LCT.5", "- ur ur", () => ({}), { context: { TT: 0 } }),
  qualified(0x0d, "LCT.5", "- ur ur", () => ({}), { context: { TT: 2, AW: 3 } }),
  qualified(0x04, "LGN.1.1", "ur s0 -", () => ({ address: bit(48) })),
  qualified(0x04, "LGN.1.2", "- - ur", () => ({ address: bit(46) })),
  qualified(0x04, "LGN.1.3", "ur - -", () => ({ address: bit(46) }), { context: { TT: 2, AW: 3 } }),
  qualified(0x05, "LGN.2", "ur - -", (g) => ({ ...clear(g, g.leaf, 1), access: "w" })),
  // Nothing is granted: reserved bits do not count, and a translation request wants both.
  qualified(0x05, "LGN.2", "- s0 -", (g) => ({
    ...clear(g, g.leaf, 0),
    ...clear(g, g.leaf, 1),
    ...set(g, g.leaf, 46),
  })),
  qualified(0x06, "LGN.3", "ur - -", (g) => clear(g, g.leaf, 0)),
  qualified(0x0e, "LGN.4", "ur ca -", (g) => change(g, g.leaf, ADDRESS, FEE)),
  qualified(0x0e, "LGN.4", "- - ur", () => ({ address: FEE })),
  qualified(0x07, "LSS.1", "ur ca -", (g) => poison(g, g.leaf)),
  ...[11, 46, 51, 62].map((n) =>
    qualified(0x0c, "LSS.2", "ur ca -", (g: LegacyGuest) => set(g, g.leaf, n), { without: { ecap: bit(7) } }),
  ),
];
