/**
 * Prints a VT-d capture the way the kernel's debugfs does (drivers/iommu/intel/debugfs.c): by a walk of its own over
 * the capture's pages, with the bits of VT-d rev 5.10, 9.1 to 9.8.
 */
import type { Capture } from "../../../src/capture/capture.ts";

const PAGE_MASK = ~0xfffn;
const ADDRESS = 0x000f_ffff_ffff_f000n;

function words(capture: Capture, address: bigint, count: number): bigint[] | undefined {
  const page = capture.pages.page(address);
  if (!page) return undefined;
  const view = new DataView(page.buffer, page.byteOffset, page.byteLength);
  return Array.from({ length: count }, (_, i) => view.getBigUint64(Number(address & 0xfffn) + 8 * i, true));
}

const long = (word: bigint | undefined): string => `0x${(word ?? 0n).toString(16).padStart(16, "0")}`;
const short = (number: number, digits: number): string => number.toString(16).padStart(digits, "0");
const bdf = (sid: number): string => `${short(sid >> 8, 2)}:${short((sid >> 3) & 31, 2)}.${sid & 7}`;

/** Where the first or second stage of a PASID, or of a device in legacy mode, begins. */
export interface PrintedDomain {
  sid: number;
  /** -1 in legacy mode. */
  pasid: number;
  table: bigint;
  levels: number;
}

/** `dmar_translation_struct`, and the page tables that the kernel would print for each of its rows. */
export function dmarTranslationStruct(capture: Capture, unit = "dmar0"): { text: string; domains: PrintedDomain[] } {
  const rtaddr = capture.registers.read64(0x20);
  const root = rtaddr & PAGE_MASK;
  const scalable = (rtaddr & 0x400n) !== 0n;
  const domains: PrintedDomain[] = [];
  let text = `IOMMU ${unit}: Root Table Address: 0x${root.toString(16)}\n`;
  text += "B.D.F\tRoot_entry\t\t\t\tContext_entry\t\t\t\tPASID\tPASID_table_entry\n";
  for (let sid = 0; sid < 0x10000; sid++) {
    const rootEntry = words(capture, root + BigInt(sid >> 8) * 16n, 2) as [bigint, bigint];
    const devfn = sid & 0xff;
    const half = scalable && devfn > 127 ? rootEntry[1] : rootEntry[0];
    if ((half & 1n) === 0n) continue;
    const at = (half & PAGE_MASK) + BigInt(scalable ? (devfn & 127) * 32 : devfn * 16);
    const context = words(capture, at, 2);
    if (!context || (context[0]! & 1n) === 0n) continue;
    const start = `${bdf(sid)}\t${long(rootEntry[1])}:${long(rootEntry[0])}\t${long(context[1])}:${long(context[0])}\t`;
    if (!scalable) {
      text += `${start}${"-1".padEnd(6)}\t${long(0n)}:${long(0n)}:${long(0n)}\n`;
      domains.push({ sid, pasid: -1, table: context[0]! & PAGE_MASK, levels: Number(context[1]! & 7n) + 2 });
      continue;
    }
    for (const [pasid, entry] of pasidEntries(capture, context[0]!)) {
      text += `${start}${String(pasid).padEnd(6)}\t${long(entry[2])}:${long(entry[1])}:${long(entry[0])}\n`;
      const type = Number((entry[0]! >> 6n) & 7n);
      if (type === 1) {
        domains.push({ sid, pasid, table: entry[2]! & PAGE_MASK, levels: Number((entry[2]! >> 2n) & 3n) + 4 });
      } else if (type === 2) {
        domains.push({ sid, pasid, table: entry[0]! & PAGE_MASK, levels: Number((entry[0]! >> 2n) & 7n) + 2 });
      }
    }
  }
  return { text: `${text}\n`, domains };
}

function pasidEntries(capture: Capture, context: bigint): [number, bigint[]][] {
  const found: [number, bigint[]][] = [];
  const entries = 1 << (Number((context >> 9n) & 7n) + 7);
  for (let i = 0; i < entries; i++) {
    const directory = words(capture, (context & PAGE_MASK) + BigInt(i) * 8n, 1)?.[0] ?? 0n;
    if ((directory & 1n) === 0n) continue;
    for (let j = 0; j < 64; j++) {
      const entry = words(capture, (directory & PAGE_MASK) + BigInt(j) * 64n, 8);
      if (entry && (entry[0]! & 1n) === 1n) found.push([i * 64 + j, entry]);
    }
  }
  return found;
}

/** `domain_translation_struct` of one device or PASID, as kernels since 6.7 print it. */
export function domainTranslationStruct(capture: Capture, { sid, pasid, table, levels }: PrintedDomain): string {
  const whose = pasid < 0 ? " " : ` with pasid ${pasid.toString(16)} `;
  let text = `Device 0000:${bdf(sid)}${whose}@0x${table.toString(16)}\n`;
  text += "IOVA_PFN         \tPML5E             \tPML4E             \tPDPE              \tPDE               \tPTE\n";
  const path = [0n, 0n, 0n, 0n, 0n, 0n];
  const walk = (at: bigint, level: number, start: bigint): void => {
    for (let i = 0n; i < 512n; i++) {
      const entry = words(capture, at + i * 8n, 1)?.[0] ?? 0n;
      if ((entry & 3n) === 0n) continue;
      path[level] = entry;
      const iova = start + (i << BigInt(12 + 9 * (level - 1)));
      if (level === 1 || (entry & 0x80n) !== 0n) {
        text += `0x${(iova >> 12n).toString(16).padStart(13, "0")} |\t${[5, 4, 3, 2, 1].map((l) => long(path[l])).join("\t")}\n`;
      } else walk(entry & ADDRESS, level - 1, iova);
      path[level] = 0n;
    }
  };
  walk(table, levels, 0n);
  return `${text}\n`;
}
