/** The DMAR table: which VT-d units there are, what each serves, and which memory firmware keeps (VT-d rev 5.10, 8). */
import { hex } from "../../check.ts";
import { type AcpiFinding, type AcpiNode, type AcpiTable, type Bytes, readHeader } from "./table.ts";

/** Offsets in the table, and in its remapping structures. */
enum AT {
  HAW = 36,
  FLAGS = 37,
  STRUCTURES = 48,
  FLAGS_OF = 4,
  SEGMENT = 6,
  BASE = 8,
  LIMIT = 16,
}

const PAGE = 4096n;

/** What is compared across structures. */
interface Seen {
  units: { base: bigint; segment: number; all: boolean; offset: number }[];
  regions: { base: bigint; limit: bigint; segment: number; offset: number }[];
}

type Reader = (table: Bytes, at: number, end: number, seen: Seen, findings: AcpiFinding[]) => Omit<AcpiNode, "offset">;

export function parseDmar(table: Bytes): AcpiTable {
  const findings: AcpiFinding[] = [];
  const flags = table.u8(AT.FLAGS);
  const root: AcpiNode = {
    title: "DMAR: DMA remapping reporting",
    offset: 0,
    fields: [
      ...readHeader(table, findings),
      ["host address width", `${table.u8(AT.HAW) + 1} bits`],
      ["interrupt remapping", flags % 2 === 1 ? "supported" : "not supported"],
      ["x2APIC opt-out", has(flags, 2) ? "set: do not enable x2APIC" : "not set"],
      ["DMA protection opt-in", has(flags, 4) ? "set: the platform asks for protection" : "not set"],
    ],
    children: [],
  };
  const seen: Seen = { units: [], regions: [] };
  for (let at: number = AT.STRUCTURES; at < table.length; ) {
    const length = table.u16(at + 2);
    if (length < 4) table.refuse(at, `a structure of ${length} bytes has no room for its own header`);
    if (at + length > table.length) table.refuse(at, `a structure of ${length} bytes reaches past the table's end`);
    const type = table.u16(at);
    const read = READERS[type];
    const node = read
      ? read(table, at, at + length, seen, findings)
      : { title: `structure of unknown type ${type}`, fields: [], children: [] };
    root.children.push({ ...node, offset: at });
    at += length;
  }
  compare(seen, findings);
  if (!has(flags, 4)) {
    findings.push({
      offset: AT.FLAGS,
      problem: "DMA protection opt-in is not set",
      why: "an operating system may leave DMA unprotected before and while it boots",
    });
  }
  return { signature: "DMAR", root, findings };
}

function has(flags: number, value: number): boolean {
  return Math.floor(flags / value) % 2 === 1;
}

const SCOPES = ["reserved", "PCI endpoint", "PCI bridge and what is below", "IOAPIC", "HPET", "ACPI namespace device"];

function scopes(table: Bytes, from: number, end: number): AcpiNode[] {
  const nodes: AcpiNode[] = [];
  for (let at = from; at < end; ) {
    const length = table.u8(at + 1);
    if (length < 6 || at + length > end)
      table.refuse(at, `a device scope of ${length} bytes does not fit its structure`);
    const type = table.u8(at);
    const path: string[] = [];
    for (let step = at + 6; step + 1 < at + length; step += 2) {
      path.push(`${table.u8(step).toString(16).padStart(2, "0")}.${table.u8(step + 1)}`);
    }
    const bus = table
      .u8(at + 5)
      .toString(16)
      .padStart(2, "0");
    nodes.push({
      title: `${SCOPES[type] ?? `scope of unknown type ${type}`} ${bus}:${path.join(" -> ")}`,
      offset: at,
      fields: type >= 3 && type <= 5 ? [["id", `${table.u8(at + 4)}`]] : [],
      children: [],
    });
    at += length;
  }
  return nodes;
}

const segmentField = (table: Bytes, at: number): [string, string] => ["segment", hex(table.u16(at + AT.SEGMENT), 4)];

const drhd: Reader = (table, at, end, seen, findings) => {
  const base = table.u64(at + AT.BASE);
  const segment = table.u16(at + AT.SEGMENT);
  const all = table.u8(at + AT.FLAGS_OF) % 2 === 1;
  const children = scopes(table, at + 16, end);
  seen.units.push({ base, segment, all, offset: at });
  if (base === 0n || base % PAGE !== 0n) {
    findings.push({ offset: at, problem: `register base ${hex(base)} is no page`, why: "the unit cannot be found" });
  }
  if (!all && children.length === 0) {
    findings.push({ offset: at, problem: "a unit without devices", why: "it serves nothing: a scope is missing" });
  }
  return {
    title: `DRHD: unit at ${hex(base)}`,
    fields: [
      segmentField(table, at),
      ["serves", all ? "every PCI device that no other unit names" : "the devices below"],
    ],
    children,
  };
};

const rmrr: Reader = (table, at, end, seen, findings) => {
  const base = table.u64(at + AT.BASE);
  const limit = table.u64(at + AT.LIMIT);
  const children = scopes(table, at + 24, end);
  if (limit < base || base % PAGE !== 0n || (limit + 1n) % PAGE !== 0n) {
    findings.push({
      offset: at,
      problem: `region ${hex(base)} to ${hex(limit)} is not whole pages`,
      why: "operating systems refuse it, or map too much or too little",
    });
  }
  if (children.length === 0) {
    findings.push({ offset: at, problem: "a region without devices", why: "nobody maps it, so firmware's DMA faults" });
  }
  seen.regions.push({ base, limit, segment: table.u16(at + AT.SEGMENT), offset: at });
  return {
    title: `RMRR: firmware's memory ${hex(base)} to ${hex(limit)}`,
    fields: [segmentField(table, at)],
    children,
  };
};

const listed =
  (title: string, all: string): Reader =>
  (table, at, end) => ({
    title,
    fields: [segmentField(table, at), ["flags", table.u8(at + AT.FLAGS_OF) % 2 === 1 ? all : "the devices below"]],
    children: scopes(table, at + 8, end),
  });

const READERS: Readonly<Record<number, Reader>> = {
  0: drhd,
  1: rmrr,
  2: listed("ATSR: root ports that do ATS", "all root ports"),
  3: (table, at) => ({
    title: `RHSA: unit at ${hex(table.u64(at + 8))}`,
    fields: [["proximity domain", `${table.u32(at + 16)}`]],
    children: [],
  }),
  4: (table, at, end) => ({
    title: `ANDD: ACPI device ${table.text(at + 8, Math.max(0, end - at - 8))}`,
    fields: [["number", `${table.u8(at + 7)}`]],
    children: [],
  }),
  5: listed("SATC: devices in the SoC with ATS", "need ATS to work"),
  6: listed("SIDP: properties of devices in the SoC", "reserved"),
};

/** What only shows when structures are laid side by side. */
function compare({ units, regions }: Seen, findings: AcpiFinding[]): void {
  for (const [i, unit] of units.entries()) {
    const before = units.slice(0, i);
    if (before.some(({ base }) => base === unit.base)) {
      findings.push({
        offset: unit.offset,
        problem: `unit ${hex(unit.base)} is there twice`,
        why: "its scopes contradict",
      });
    }
    if (before.some(({ segment, all }) => all && segment === unit.segment)) {
      findings.push({
        offset: unit.offset,
        problem: "a unit after the one that serves all other devices of its segment",
        why: "VT-d 8.3: INCLUDE_PCI_ALL comes last; a first match gives the devices to the wrong unit",
      });
    }
  }
  for (const [i, region] of regions.entries()) {
    const other = regions.slice(0, i).find(({ base, limit }) => base <= region.limit && region.base <= limit);
    if (other) {
      findings.push({
        offset: region.offset,
        problem: `region ${hex(region.base)} overlaps ${hex(other.base)} to ${hex(other.limit)}`,
        why: "devices of both can reach the same memory",
      });
    }
  }
}
