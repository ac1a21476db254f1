/**
 * Format "iommu-capture-2": what an IOMMU and the memory it reads held at one moment.
 *
 * A JSON document (registers, devices, expected translations, a list of pages) and a file with those
 * pages. Both come in as text and bytes, from wherever the caller has them; nothing here touches files.
 */
import { PAGE0 } from "../../assembly/layout/smmuv3-registers.ts";
import { REG } from "../../assembly/layout/vtd-registers.ts";
import { hex } from "../check.ts";
import { type ImageDevice, type ImageIommu, type MachineImage, PAGE_BYTES } from "./image/image.ts";
import { InputError, Json } from "./input.ts";
import { type CapturedPage, PageMap } from "./pages.ts";
import { RegisterDump } from "./registers.ts";

export const CAPTURE_FORMAT = "iommu-capture-2";

/** What the two files are called in messages. */
export interface CaptureNames {
  json: string;
  pages: string;
}

/** A PASID that was in use, as the recorder decoded it: for information, never used to translate. */
export interface CapturedPasid {
  pasid: number;
  mode: string;
  /** "fs" first stage, "ss" second stage, "pt" pass-through, "s1" stage 1, "s1dss-bypass". */
  kind: string;
  levels: number | undefined;
  /** VT-d domain id or SMMUv3 ASID. */
  tag: number | undefined;
  /** All of its page tables are in the capture, not only the paths of the expected translations. */
  complete: boolean;
  leaves: number | undefined;
}

/** One expected translation. */
export interface ExpectedRow {
  sid: number;
  pasid: number | null;
  iova: bigint;
  access: "r" | "w" | "x";
  ok: boolean;
  /** ok: output address. */
  gpa: bigint | undefined;
  /** ok: size of the leaf, absent where it was not observed. */
  page: bigint | undefined;
  /** ok: letters of what is granted. */
  perm: string | undefined;
  /** Not ok: the number the recorder saw, null where none was observed. */
  fault: number | null;
  source: string;
  note: string | undefined;
}

export interface Capture extends MachineImage {
  readonly machine: string;
  readonly kernel: string;
  readonly kernelCommandLine: string;
  readonly ramBase: bigint;
  readonly ramBytes: bigint;
  /** Empty where no PASIDs were in use. */
  readonly pasids: readonly CapturedPasid[];
  readonly pages: PageMap;
  readonly expected: readonly ExpectedRow[];
  /** SMMUv3: the event records that the guest was given, four words each, oldest first. */
  readonly events: readonly (readonly bigint[])[];
}

/** Source-ids have 16 bits, StreamIDs 32. */
const MAX_SID = { vtd: 0xffff, smmuv3: 0xffff_ffff } as const;
const MAX_TAG = 0xffff_ffff;
const MAX_PASID = 0xfffff;
const MAX_REGISTER = 0x100_0000;
export const IOMMUS: readonly ["vtd", "smmuv3"] = ["vtd", "smmuv3"];
const ACCESSES = ["r", "w", "x"] as const;
const MIB = 1_048_576n;

/**
 * Reads and checks a capture.
 * @throws InputError naming file and place of the first thing that is wrong
 */
export function parseCapture(json: string, pages: Uint8Array, names: CaptureNames): Capture {
  const root = Json.parse(names.json, json);
  const format = root.at("format");
  const found = format.string();
  if (found !== CAPTURE_FORMAT) format.refuse(`unknown format "${found}", expected "${CAPTURE_FORMAT}"`);
  const iommu = root.at("iommu").oneOf(IOMMUS);
  const sourceIds = optionalEntries(root.at("source_ids"));
  const ramBase = root.at("ram_base").present ? root.at("ram_base").hex(52) : 0n;
  const ramBytes = BigInt(root.at("ram_mb").count(2 ** 32 - 1)) * MIB;
  return {
    name: root.at("name").string(),
    origin: "capture",
    iommu,
    machine: root.at("machine").string(),
    kernel: root.at("kernel").string(),
    kernelCommandLine: optionalString(root.at("kernel_cmdline")) ?? "",
    ramBase,
    ramBytes,
    ram: [{ base: ramBase, size: ramBytes }],
    registers: requireRegisters(root.at("registers"), iommu),
    devices: optionalEntries(root.at("devices")).map(([address, value]) =>
      parseDevice(address, value, sourceIds, MAX_SID[iommu]),
    ),
    pasids: optionalEntries(root.at("pasids")).map(([pasid, value]) => parsePasid(pasid, value)),
    pages: new PageMap(parsePages(root.at("pages"), pages, names.pages)),
    expected: root
      .at("translations")
      .items()
      .map((row) => parseRow(row, MAX_SID[iommu])),
    events: optionalItems(root.at("events_before_pause")).map((event) =>
      event
        .at("raw")
        .items()
        .map((word) => word.hex()),
    ),
  };
}

/** Registers without which no walk can be made: a capture that lacks one is torn. */
const REQUIRED: Readonly<Record<ImageIommu, readonly number[]>> = {
  vtd: [REG.CAP, REG.ECAP, REG.GSTS, REG.RTADDR],
  smmuv3: [PAGE0.IDR0, PAGE0.IDR1, PAGE0.IDR5, PAGE0.CR0, PAGE0.STRTAB_BASE, PAGE0.STRTAB_BASE_CFG],
};

function requireRegisters(json: Json, iommu: ImageIommu): RegisterDump {
  const registers = new RegisterDump(parseRegisters(json));
  // Recorders leave out registers that read 0, one half of a 64-bit register included.
  for (const offset of REQUIRED[iommu]) if (!registers.has(offset)) json.at(hex(offset)).refuse("is missing");
  return registers;
}

/** 32-bit words by offset. @throws InputError */
export function parseRegisters(json: Json): Map<number, number> {
  const values = new Map<number, number>();
  for (const [offset, value] of json.entries()) {
    if (!/^0x[0-9a-f]+$/i.test(offset)) value.refuse(`"${offset}" is not a hexadecimal offset`);
    const at = Number(offset);
    if (at % 4 !== 0 || at >= MAX_REGISTER) value.refuse(`${offset} is not the offset of a 32-bit register`);
    if (values.has(at)) value.refuse(`register ${hex(at)} is given twice`);
    values.set(at, Number(value.hex(32)));
  }
  return values;
}

/** `[ssss:]bb:dd.f`, a PCI address; undefined when it is not one. */
export function parseBdf(text: string): number | undefined {
  const match = /^(?:[0-9a-f]{1,8}:)?([0-9a-f]{1,2}):([01]?[0-9a-f])\.([0-7])$/i.exec(text);
  if (!match) return undefined;
  const [bus, device, fn] = match.slice(1).map((digits) => Number.parseInt(digits, 16)) as [number, number, number];
  return bus * 256 + device * 8 + fn;
}

function parseDevice(address: string, json: Json, sourceIds: readonly [string, Json][], maxSid: number): ImageDevice {
  const bdf = parseBdf(address);
  // A StreamID need not be the PCI address: firmware may map one to the other.
  const source = sourceIds.find(([name]) => name === address || (bdf !== undefined && parseBdf(name) === bdf));
  const streamId = source?.[1].at("stream_id");
  return { address, sid: streamId?.present ? streamId.count(maxSid) : bdf, text: json.string() };
}

function parsePasid(name: string, json: Json): CapturedPasid {
  const pasid = Number(name);
  if (!/^\d+$/.test(name) || pasid > MAX_PASID) json.refuse(`"${name}" is not a PASID (0..${MAX_PASID})`);
  const number = (member: string) => (json.at(member).present ? json.at(member).count(MAX_TAG) : undefined);
  return {
    pasid,
    mode: optionalString(json.at("mode")) ?? "",
    kind: optionalString(json.at("kind")) ?? "",
    levels: number("levels"),
    tag: number("did") ?? number("asid"),
    complete: json.at("complete").present && json.at("complete").boolean(),
    leaves: number("leaves"),
  };
}

function parsePages(json: Json, bytes: Uint8Array, file: string): CapturedPage[] {
  const seen = new Set<bigint>();
  const taken = new Map<number, bigint>();
  const pages = json.items().map((item): CapturedPage => {
    const gpa = item.at("gpa").hex(52);
    const offset = item.at("offset").count(Number.MAX_SAFE_INTEGER);
    if (gpa % BigInt(PAGE_BYTES) !== 0n) item.at("gpa").refuse(`${hex(gpa)} is not the address of a 4096-byte page`);
    if (offset % PAGE_BYTES !== 0) item.at("offset").refuse(`${offset} is not a multiple of ${PAGE_BYTES}`);
    if (seen.has(gpa)) item.at("gpa").refuse(`page ${hex(gpa)} overlaps: it is listed twice`);
    const other = taken.get(offset);
    if (other !== undefined) item.at("offset").refuse(`${offset} overlaps the bytes of page ${hex(other)}`);
    seen.add(gpa);
    taken.set(offset, gpa);
    if (offset + PAGE_BYTES > bytes.length) {
      throw new InputError(
        file,
        `byte ${bytes.length}`,
        `the file ends, page ${hex(gpa)} (${item.path}) needs bytes ${offset}..${offset + PAGE_BYTES - 1}`,
      );
    }
    return { gpa, role: optionalString(item.at("role")) ?? "", bytes: bytes.subarray(offset, offset + PAGE_BYTES) };
  });
  const used = pages.length * PAGE_BYTES;
  if (bytes.length !== used) {
    throw new InputError(
      file,
      `byte ${used}`,
      `${bytes.length} bytes, but ${pages.length} pages are listed (${used} bytes)`,
    );
  }
  return pages;
}

function parseRow(json: Json, maxSid: number): ExpectedRow {
  const ok = json.at("ok").boolean();
  const fault = json.at("fault");
  const perm = optionalString(json.at("perm"));
  if (perm !== undefined && !/^[rwx]*$/.test(perm)) json.at("perm").refuse(`"${perm}" is not made of r, w and x`);
  return {
    sid: json.at("sid").count(maxSid),
    pasid: json.at("pasid").present ? json.at("pasid").count(MAX_PASID) : null,
    iova: json.at("iova").hex(),
    access: json.at("access").oneOf(ACCESSES),
    ok,
    gpa: ok ? json.at("gpa").hex(52) : undefined,
    page: ok && json.at("page").present ? json.at("page").bits() : undefined,
    perm: ok ? perm : undefined,
    fault: ok || !fault.present ? null : Number(fault.bits(8)),
    source: optionalString(json.at("source")) ?? "",
    note: optionalString(json.at("note")),
  };
}

function optionalString(json: Json): string | undefined {
  return json.present ? json.string() : undefined;
}

function optionalItems(json: Json): Json[] {
  return json.present ? json.items() : [];
}

function optionalEntries(json: Json): [string, Json][] {
  return json.present ? json.entries() : [];
}
