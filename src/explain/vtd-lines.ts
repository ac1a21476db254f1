/**
 * Lines that Linux prints about VT-d, since 2012: the shapes changed, what they say did not.
 *
 * Patterns look anywhere in a line, so timestamps and prefixes do not matter. None can backtrack far.
 */

import { parseBdf } from "../capture/capture.ts";
import type { Access } from "../iommu.ts";
import type { DumpEntry, LogItem } from "./log-items.ts";

/** How a line is recognised. */
export interface Pattern {
  /** Cheap: whether a line may start such a message. */
  head: RegExp;
  /** The whole message, which a mail may have broken over lines. */
  full: RegExp;
  item(groups: Readonly<Record<string, string | undefined>>): LogItem | undefined;
}

const DEVICE = String.raw`\[+(?<device>[0-9a-fx:.]{6,24})\]`;
/** From what is known to what is looked for, over a break of the line and its new prefix. */
const GAP = ".{0,160}?";
const REASON = String.raw`\[fault reason (?<reason>(?:0x)?[0-9a-f]{1,2})\]`;

const hexOf = (digits: string | undefined): bigint => BigInt(`0x${digits?.replace(/^0x/i, "") || "0"}`);

/** `[0x00:0x02.0]`, `[00:02.0]` and `[0000:00:02.0]` are the same device. */
function deviceOf(text: string | undefined): number | undefined {
  return parseBdf((text ?? "").replaceAll("0x", ""));
}

/** Since Linux 5.14 reasons are hexadecimal with 0x; before, decimal without. */
function reasonOf(text: string | undefined): number {
  return Number(text?.toLowerCase().startsWith("0x") || !/[a-f]/i.test(text ?? "") ? text : `0x${text}`);
}

const NO_PASID = 0xffff_ffffn;

/** Linux 5.14 and later say it before the device; earlier ones after it, with all ones for none. */
function pasidOf({ pasid, oldPasid }: Readonly<Record<string, string | undefined>>): number | null {
  const digits = pasid ?? oldPasid;
  if (digits === undefined) return null;
  const value = hexOf(digits);
  return value === NO_PASID ? null : Number(value);
}

const dump = (entry: DumpEntry, text: string, words: readonly string[]): Pattern => ({
  head: new RegExp(`${text}: `, "i"),
  full: new RegExp(`${text}: ${words.map((word) => `${word}0x(?<w${word.trim()}>[0-9a-f]{1,16})`).join(", ?")}`, "i"),
  // Low word first, as memory has them.
  item: ({ whi, wlow, w }) => ({
    kind: "dump-entry",
    entry,
    words: w === undefined ? [hexOf(wlow), hexOf(whi)] : [hexOf(w)],
  }),
});

export const VTD_PATTERNS: readonly Pattern[] = [
  {
    head: /DMA (?:Read|Write)[^\]]{0,24}\]/,
    full: new RegExp(
      String.raw`DMA (?<type>Read|Write)(?: NO_PASID| PASID (?:0x)?(?<pasid>[0-9a-f]{1,8}))?\]:?\s*Request device ${DEVICE}` +
        String.raw`(?: PASID (?<oldPasid>[0-9a-f]{1,8}))? fault addr (?:0x)?(?<iova>[0-9a-f]{1,16})\b${GAP}${REASON}`,
      "i",
    ),
    item: (groups) => {
      const sid = deviceOf(groups.device);
      if (sid === undefined) return undefined;
      const access: Access = groups.type?.toLowerCase() === "write" ? "w" : "r";
      const code = reasonOf(groups.reason);
      return { kind: "dma-fault", sid, pasid: pasidOf(groups), iova: hexOf(groups.iova), access, code };
    },
  },
  {
    head: /INTR-REMAP\]?:? {0,2}(?:Request|$)/,
    full: new RegExp(
      String.raw`Request device ${DEVICE} fault index (?:0x)?(?<index>[0-9a-f]{1,4})\b${GAP}${REASON}`,
      "i",
    ),
    item: ({ device, index, reason }) => {
      const sid = deviceOf(device);
      return sid === undefined
        ? undefined
        : { kind: "interrupt-fault", sid, index: Number(hexOf(index)), code: reasonOf(reason) };
    },
  },
  {
    head: /fault status reg/,
    full: /handling fault status reg (?:0x)?(?<value>[0-9a-f]{1,8})/i,
    item: ({ value }) => ({ kind: "fault-status", value: hexOf(value) }),
  },
  {
    head: /Invalidation Queue Error/,
    full: /Invalidation Queue Error: Reason (?<reason>[0-9a-f]{1,2})/i,
    item: ({ reason }) => ({ kind: "queue-error", reason: Number(hexOf(reason)) }),
  },
  {
    head: /Invalidation (?:Time-?out|Completion) Error/,
    full: /Invalidation (?<which>Time|Completion)(?:-?out)? Error: SID (?<sid>[0-9a-f]{1,4})/i,
    item: ({ which, sid }) => ({
      kind: which === "Time" ? "queue-timeout" : "queue-completion",
      sid: Number(hexOf(sid)),
    }),
  },
  {
    head: /QI (?:HEAD|PRIOR)/,
    full: /QI (?<which>HEAD|PRIOR): [\w -]{1,48} qw0 = 0x(?<qw0>[0-9a-f]{1,16}), qw1 = 0x(?<qw1>[0-9a-f]{1,16})(?:, qw2 = 0x(?<qw2>[0-9a-f]{1,16}), qw3 = 0x(?<qw3>[0-9a-f]{1,16}))?/,
    item: ({ which, qw0, qw1, qw2, qw3 }) => ({
      kind: "queue-entry",
      which: which === "HEAD" ? "HEAD" : "PRIOR",
      words: [hexOf(qw0), hexOf(qw1), ...(qw2 === undefined ? [] : [hexOf(qw2), hexOf(qw3)])],
    }),
  },
  {
    head: /Dump \S{1,16} table entries/,
    full: /Dump (?<unit>\S{1,16}) table entries for IOVA (?:0x)?(?<iova>[0-9a-f]{1,16})/,
    item: ({ unit, iova }) => ({ kind: "dump", unit: unit as string, iova: hexOf(iova) }),
  },
  dump("scalable-root", "scalable mode root entry", ["hi ", "low "]),
  dump("root", "root entry", [""]),
  dump("context", "context entry", ["hi ", "low "]),
  dump("directory", "pasid dir entry", [""]),
  {
    head: /pasid table entry\[/,
    full: /pasid table entry\[(?<index>[0-7])\]: 0x(?<word>[0-9a-f]{1,16})/,
    item: ({ index, word }) => ({ kind: "dump-pasid-word", index: Number(index), word: hexOf(word) }),
  },
  {
    head: /pte level/,
    full: /pte level: (?<level>[1-5]), pte value: (?:0x)?(?<word>[0-9a-f]{1,16})/,
    item: ({ level, word }) => ({ kind: "dump-pte", level: Number(level), word: hexOf(word) }),
  },
  {
    // Linux before 6.13 stopped here, without the entry, at a large page as well.
    head: /PTE not present at level/i,
    full: /PTE not present at level (?<level>[1-5])/i,
    item: ({ level }) => ({ kind: "dump-pte", level: Number(level), word: null }),
  },
  {
    head: / is not present|page table not present/,
    full: /(?:root table|context table|pasid directory|pasid table|page table)[\w ]{0,24} not present/,
    item: () => ({ kind: "dump-end" }),
  },
  {
    head: /reg_base_addr/,
    full: /(?<unit>dmar\d{1,3}): reg_base_addr (?:0x)?[0-9a-f]{1,16} ver (?<major>[0-9a-f]{1,2}):(?<minor>[0-9a-f]{1,2}) cap (?:0x)?(?<cap>[0-9a-f]{1,16}) ecap (?:0x)?(?<ecap>[0-9a-f]{1,16})/,
    item: ({ unit, major, minor, cap, ecap }) => ({
      kind: "registers",
      unit: unit as string,
      ver: hexOf(`${major}${minor}`),
      cap: hexOf(cap),
      ecap: hexOf(ecap),
    }),
  },
  {
    head: /Host address width/,
    full: /Host address width (?<bits>\d{1,2})\b/,
    item: ({ bits }) => ({ kind: "haw", bits: Number(bits) }),
  },
  {
    head: /IOMMU feature/,
    full: /IOMMU feature (?<feature>\w{1,24}) inconsistent/,
    item: ({ feature }) => ({ kind: "inconsistent", feature: feature as string }),
  },
  {
    head: /dmar\d{1,3}: (?:Page request|Address is|Execution request|Invalid page)/,
    full: /(?<unit>dmar\d{1,3}): (?<why>Page request without PASID|Page request in Privilege Mode|Address is not canonical|Execution request not supported|Invalid page request)(?:: (?<qw0>[0-9a-f]{8,16}) (?<qw1>[0-9a-f]{8,16}))?/,
    item: ({ unit, why, qw0, qw1 }) => ({
      kind: "page-request-refused",
      unit: unit as string,
      why: why as string,
      words: qw0 === undefined ? [] : [hexOf(qw0), hexOf(qw1)],
    }),
  },
  {
    head: /PRQ overflow detected/,
    full: /(?<unit>dmar\d{1,3}): PRQ overflow detected/,
    item: ({ unit }) => ({ kind: "page-requests-lost", unit: unit as string }),
  },
  {
    head: /\((?:IQE|ITE|ICE)\) cleared|PRQ overflow cleared|DMAR: (?:DRHD base|RMRR base|ATSR|IOMMU enabled|Intel\(R\) Virtualization|No (?:RMRR|ATSR|SATC)|dmar\d)/,
    full: /cleared|DMAR/,
    item: () => ({ kind: "context" }),
  },
];
