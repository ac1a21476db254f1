/** Faults of the page walks (conditions SFS.*, SSS.*, SGN.*, HPT.*). */
import type { Request } from "../../../src/index.ts";
import { FIRST, NESTED, OFFSET, PASS, RID_PASID, type ScalableGuest, SECOND } from "../vtd-guest.ts";
import { ADDRESS, type Answers, bit, change, clear, type Extra, FEE, poison, qualified, type Row, set } from "./row.ts";

type Rows = readonly Row<ScalableGuest>[];
type Break = (g: ScalableGuest, leaf: bigint, entry: bigint) => object;

/** A request to `pasid` after `how` broke its leaf, or the PASID entry. */
function page(
  pasid: number,
  code: number,
  check: string,
  answers: Answers,
  how: Break = () => ({}),
  request: Partial<Request> = {},
  extra: Extra = {},
): Row<ScalableGuest> {
  const arrange = (g: ScalableGuest) => {
    how(g, g.leaf[pasid] as bigint, g.entry[pasid] as bigint);
    return { pasid, ...request };
  };
  return qualified(code, check, answers, arrange, extra);
}

const level =
  (n: number, position: number): Break =>
  (g) =>
    set(g, g.first.entry(0x1000n, n) as bigint, position);

export const FIRST_STAGE: Rows = [
  page(FIRST, 0x73, "SFS.4", "ur s0 -", (g) => poison(g, g.first.root)),
  page(FIRST, 0x70, "SFS.1", "ur s0 -", (g, leaf) => poison(g, leaf)),
  // Reserved bits of an entry that is not present do not count.
  page(FIRST, 0x71, "SFS.2", "ur s0 -", (g, leaf) => change(g, leaf, bit(0), bit(46))),
  ...[46, 51].map((n) => page(FIRST, 0x72, "SFS.3", "ur s0 -", (g, leaf) => set(g, leaf, n))),
  page(FIRST, 0x72, "SFS.3", "ur s0 -", level(4, 7)),
  page(FIRST, 0x72, "SFS.3", "ur s0 -", level(3, 7), {}, { without: { cap: bit(56) } }), // FS1GP = 0
  page(FIRST, 0x72, "SFS.3", "ur s0 -", (g) => {
    change(g, g.first.entry(0x1000n, 2) as bigint, ADDRESS, bit(7) | bit(13)); // 2 MiB page, bit 13
    return {};
  }),
  page(FIRST, 0x80, "SGN.1", "ur s0 -", undefined, { address: bit(47) }),
  page(FIRST, 0x80, "SGN.1", "ur s0 -", undefined, { address: 0xffff_0000_0000_0000n }),
  page(FIRST, 0x81, "SGN.2", "ur s0 -", (g) => clear(g, g.first.entry(0x1000n, 3) as bigint, 2)),
  page(FIRST, 0x85, "SGN.6", "ur - -", (g, leaf) => clear(g, leaf, 1), { access: "w" }),
  page(FIRST, 0x85, "SGN.6", "ur - -", (g) => clear(g, g.first.entry(0x1000n, 4) as bigint, 1), { access: "a" }),
  page(FIRST, 0x90, "SFS.9", "ur s0 -", (g, _, entry) => clear(g, entry, 87)), // PWSNP = 0
];

export const SECOND_STAGE: Rows = [
  page(SECOND, 0x84, "SGN.5", "ur s0 -", undefined, { address: bit(48) }),
  page(SECOND, 0x7b, "SSS.4", "ur ca -", (g) => poison(g, g.second.root)),
  page(SECOND, 0x78, "SSS.1", "ur ca -", (g, leaf) => poison(g, leaf)),
  page(SECOND, 0x79, "SSS.2", "ur s0 -", (g, leaf) => change(g, leaf, 3n, bit(46))),
  page(SECOND, 0x79, "SSS.2", "ur s0 -", (g, leaf) => {
    clear(g, leaf, 0); // W only, below R only
    return clear(g, g.second.entry(0x1000n, 2) as bigint, 1);
  }),
  ...[46, 51, 62].map((n) => page(SECOND, 0x7a, "SSS.3", "ur ca -", (g, leaf) => set(g, leaf, n))),
  page(SECOND, 0x7a, "SSS.3", "ur ca -", (g, leaf) => set(g, leaf, 11), {}, { without: { ecap: bit(7) } }), // SNP
  page(SECOND, 0x7a, "SSS.3", "ur ca -", (g) => set(g, g.second.entry(0x1000n, 2) as bigint, 11)),
  page(SECOND, 0x7a, "SSS.3", "ur ca -", (g) => set(g, g.second.entry(0x1000n, 4) as bigint, 7)),
  page(
    SECOND,
    0x7a,
    "SSS.3",
    "ur ca -",
    (g) => set(g, g.second.entry(0x1000n, 2) as bigint, 7),
    {},
    {
      without: { cap: bit(34) }, // no 2 MiB pages
    },
  ),
  page(SECOND, 0x85, "SGN.6", "ur - -", (g, leaf) => clear(g, leaf, 1), { access: "w" }),
  page(SECOND, 0x86, "SGN.7", "ur - -", (g, leaf) => clear(g, leaf, 0)),
  page(SECOND, 0x7c, "SSS.5", "ur ca -", (g, _, entry) => {
    set(g, entry, 9); // SSADE
    return clear(g, entry, 87); // PWSNP = 0
  }),
];

const behind = (g: ScalableGuest, address: bigint): bigint => g.outer.entry(address + OFFSET) as bigint;

export const NESTED_STAGES: Rows = [
  page(NESTED, 0x74, "SFS.5", "ur s0 -", (g, leaf) => set(g, leaf, 48)),
  page(NESTED, 0x75, "SFS.6", "ur s0 -", (g) => clear(g, behind(g, g.inner.root), 0)),
  page(NESTED, 0x76, "SFS.7", "ur s0 -", (g, leaf) => clear(g, behind(g, leaf), 0)),
  page(NESTED, 0x77, "SFS.8", "ur s0 -", (g, leaf) => clear(g, behind(g, leaf), 1)), // A cannot be set
  page(NESTED, 0x77, "SFS.8", "ur s0 -", (g, _, entry) => {
    clear(g, behind(g, g.inner.root), 1);
    return set(g, entry, 9); // SSADE: reading a table counts as writing it
  }),
  page(NESTED, 0x79, "SSS.2", "ur s0 -", (g, leaf) => change(g, behind(g, leaf), 3n)),
  page(NESTED, 0x7a, "SSS.3", "ur ca -", (g, leaf) => set(g, behind(g, leaf), 46)),
  page(NESTED, 0x78, "SSS.1", "ur ca -", (g, leaf) => poison(g, behind(g, leaf))),
  page(NESTED, 0x7b, "SSS.4", "ur ca -", (g) => poison(g, g.outer.root)),
  page(NESTED, 0x85, "SGN.6", "ur - -", (g) => clear(g, g.outer.entry(0x2_0000n) as bigint, 1), { access: "w" }),
  page(NESTED, 0x86, "SGN.7", "ur - -", (g) => clear(g, g.outer.entry(0x2_0000n) as bigint, 0)),
];

const toInterrupts = (pasid: number, check: string, answers: Answers) =>
  page(pasid, 0x87, check, answers, (g, leaf) => change(g, leaf, ADDRESS, FEE));

export const OUTPUTS: Rows = [
  toInterrupts(FIRST, "SGN.8.1", "ur - -"),
  toInterrupts(FIRST, "SGN.8.2", "- ca -"),
  toInterrupts(SECOND, "SGN.8.1", "ur - -"),
  toInterrupts(SECOND, "SGN.8.2", "- ca -"),
  page(PASS, 0x87, "SGN.8.1", "ur - -", undefined, { address: FEE }),
  page(PASS, 0x83, "SGN.4.2", "ur s0 -", undefined, { address: bit(46) }),
  qualified(0x83, "SGN.4.1", "- - ur", () => ({ address: bit(46) })),
  qualified(0x87, "SGN.8.3", "- - ur", () => ({ address: FEE })),
];

/** A host permission table for RID_PASID whose top entry for address 0 is `low`, `high`. */
function permission(code: number, check: string, answers: Answers, low: bigint, high: bigint, request = {}) {
  const arrange = (g: ScalableGuest) => {
    const [top, third] = [g.guest.pages.allocate(), g.guest.pages.allocate()];
    g.guest.memory.write64((g.entry[RID_PASID] as bigint) + 32n, top);
    g.guest.memory.write64(top + 8n, third | 1n);
    g.guest.memory.write64(third, low);
    g.guest.memory.write64(third + 8n, high);
    if (code === 0xa2) g.guest.memory.poison(top, 16);
    if (code === 0xa0) g.guest.memory.poison(third, 16);
    return request;
  };
  return qualified<ScalableGuest>(code, check, answers, arrange, { context: { HPTE: 1 } });
}

export const HOST_PERMISSIONS: Rows = [
  qualified(0x60, "SPT.9", "- - ur", () => ({ address: bit(49) }), { context: { HPTE: 1 } }),
  permission(0xa2, "HPT.3", "- - ca", 0n, 0n),
  permission(0xa0, "HPT.1", "- - ca", 0n, 0n),
  permission(0xa1, "HPT.2", "- - ca", bit(2), 0n), // PP bit 2
  permission(0xa1, "HPT.2", "- - ca", bit(32), 0n),
  permission(0xa1, "HPT.2", "- - ca", 0n, bit(1)),
  permission(0xa1, "HPT.2", "- - ca", 0n, bit(46)),
  permission(0xa3, "HPT.4", "- - ur", 0n, 0n, { zeroLength: true }),
  permission(0xa4, "HPT.5", "- - ur", 1n, 0n, { access: "w" }),
  permission(0xa5, "HPT.6", "- - ur", 2n, 0n),
  permission(0xa5, "HPT.6", "- - ur", 0n, 0n),
];
