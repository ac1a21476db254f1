/** The IORT table: which SMMUs there are, and how requester ids become StreamIDs (Arm DEN 0049). */
import { hex } from "../../check.ts";
import { type AcpiFinding, type AcpiNode, type AcpiTable, type Bytes, readHeader } from "./table.ts";

/** Offsets in the table, and in its nodes. */
enum AT {
  COUNT = 36,
  NODES = 40,
  LENGTH = 1,
  MAPPINGS = 8,
  MAPPING_OFFSET = 12,
  BODY = 16,
}
const NODE_BYTES = 16;
const MAPPING_BYTES = 20;
const RANGE_BYTES = 20;
/** A mapping that holds one id, whatever comes in. */
const SINGLE = 1;

type Body = (table: Bytes, at: number) => Pick<AcpiNode, "title" | "fields">;

const TITLES: Readonly<Record<number, Body>> = {
  0: (table, at) => ({ title: "ITS group", fields: [["ITS", itsIds(table, at)]] }),
  1: (table, at) => ({
    title: `named component ${table.text(at + 29, Math.max(0, Math.min(64, table.u16(at + AT.LENGTH) - 29)))}`,
    fields: [["address size", `${table.u8(at + 28)} bits`]],
  }),
  2: (table, at) => ({
    title: `PCI root complex, segment ${hex(table.u32(at + 28), 4)}`,
    fields: [["ATS", table.u32(at + 24) % 2 === 1 ? "supported" : "not supported"]],
  }),
  3: (table, at) => ({ title: `SMMUv1 or v2 at ${hex(table.u64(at + AT.BODY))}`, fields: [] }),
  4: (table, at) => ({
    title: `SMMUv3 at ${hex(table.u64(at + AT.BODY))}`,
    fields: [
      ["coherent", table.u32(at + 24) % 2 === 1 ? "as firmware says" : "not, unless IDR0.COHACC says so"],
      [
        "interrupts",
        `event ${table.u32(at + 44)}, PRI ${table.u32(at + 48)}, error ${table.u32(at + 52)}, sync ${table.u32(at + 56)}`,
      ],
    ],
  }),
  5: (table, at) => ({ title: `PMCG at ${hex(table.u64(at + AT.BODY))}`, fields: [] }),
  6: (table, at) => ({ title: "reserved memory (RMR)", fields: ranges(table, at) }),
};

function itsIds(table: Bytes, at: number): string {
  const count = table.u32(at + AT.BODY);
  const first = at + AT.BODY + 4;
  checkInside(table, at, first, count * 4);
  return Array.from({ length: count }, (_, i) => `${table.u32(first + i * 4)}`).join(", ");
}

function ranges(table: Bytes, at: number): [string, string][] {
  const first = at + table.u32(at + 24);
  const count = table.u32(at + 20);
  checkInside(table, at, first, count * RANGE_BYTES);
  const fields: [string, string][] = [];
  for (let i = 0; i < count; i++) {
    const base = table.u64(first + i * RANGE_BYTES);
    const bytes = table.u64(first + i * RANGE_BYTES + 8);
    fields.push(["memory", `${hex(base)}, ${hex(bytes)} bytes`]);
  }
  return fields;
}

const SMMU_TYPES: ReadonlySet<number> = new Set([3, 4]);
/** Types that an id may be mapped to: ITS group and SMMUs. */
const TARGETS: ReadonlySet<number> = new Set([0, 3, 4]);

export function parseIort(table: Bytes): AcpiTable {
  const findings: AcpiFinding[] = [];
  const root: AcpiNode = {
    title: "IORT: I/O remapping",
    offset: 0,
    fields: [...readHeader(table, findings), ["nodes", `${table.u32(AT.COUNT)}`]],
    children: [],
  };
  const places = nodePlaces(table);
  for (const at of places) {
    const type = table.u8(at);
    const body = TITLES[type]?.(table, at) ?? { title: `node of unknown type ${type}`, fields: [] };
    root.children.push({ ...body, offset: at, children: mappings(table, at, new Set(places), findings) });
    if (SMMU_TYPES.has(type) && table.u64(at + AT.BODY) % 4096n !== 0n) {
      findings.push({ offset: at, problem: `${body.title}: its base is no page`, why: "the SMMU cannot be found" });
    }
  }
  return { signature: "IORT", root, findings };
}

function nodePlaces(table: Bytes): number[] {
  const places: number[] = [];
  let at = table.u32(AT.NODES);
  for (let i = 0; i < table.u32(AT.COUNT); i++) {
    const length = table.u16(at + AT.LENGTH);
    if (length < NODE_BYTES || at + length > table.length)
      table.refuse(at, `a node of ${length} bytes does not fit the table`);
    places.push(at);
    at += length;
  }
  return places;
}

/** Arrays of a node lie within it. */
function checkInside(table: Bytes, at: number, start: number, bytes: number): void {
  const end = at + table.u16(at + AT.LENGTH);
  if (bytes > 0 && (start < at || start + bytes > end)) table.refuse(at, "an array of this node reaches past its end");
}

interface Mapping {
  first: number;
  last: number;
  offset: number;
}

function mappings(table: Bytes, at: number, nodes: ReadonlySet<number>, findings: AcpiFinding[]): AcpiNode[] {
  const count = table.u32(at + AT.MAPPINGS);
  const start = at + table.u32(at + AT.MAPPING_OFFSET);
  checkInside(table, at, start, count * MAPPING_BYTES);
  const children: AcpiNode[] = [];
  const seen: Mapping[] = [];
  for (let i = 0; i < count; i++) {
    const offset = start + i * MAPPING_BYTES;
    const [input, more, output, target] = [0, 4, 8, 12].map((field) => table.u32(offset + field)) as [
      number,
      number,
      number,
      number,
    ];
    const single = table.u32(offset + 16) % 2 === SINGLE;
    const what = single ? `itself -> ${hex(output)}` : `ids ${hex(input)} to ${hex(input + more)} -> ${hex(output)} on`;
    const known = nodes.has(target);
    const name = known ? (TITLES[table.u8(target)]?.(table, target).title ?? "an unknown node") : "nothing";
    children.push({ title: `${what}, to ${name}`, offset, fields: [], children: [] });
    if (!known || !TARGETS.has(table.u8(target))) {
      findings.push({
        offset,
        problem: `${what}: leads to ${name}`,
        why: "only an SMMU or an ITS group takes ids; the devices get no StreamID",
      });
    }
    if (single) continue;
    const overlap = seen.find(({ first, last }) => first <= input + more && input <= last);
    if (overlap) {
      findings.push({
        offset,
        problem: `${what}: overlaps the mapping at ${hex(overlap.offset)}`,
        why: "a device gets two StreamIDs, and which counts is up to software",
      });
    }
    seen.push({ first: input, last: input + more, offset });
  }
  return children;
}
