/**
 * The DMAR table that tells an x86 system of the unit: made before the machine starts, and completed when
 * firmware has placed the registers.
 *
 * Intel D51397, rev 5.10, chapter 8. Only the devices behind the unit are in its scope, so that the
 * machine's own devices, whose DMA never comes here, stay untranslated.
 */
import {
  ACPI,
  DMAR,
  DMAR_BYTES,
  DRHD,
  DRHD_BYTES,
  DRHD_TYPE,
  SCOPE,
  SCOPE_BYTES,
  SCOPE_ENDPOINT,
} from "../../assembly/layout/firmware.ts";
import { text, viewOf } from "./bytes.ts";
import type { GuestRam } from "./guest-ram.ts";

const OEM_ID = "IOMULA";
const OEM_TABLE = "VFIOUSER";
const REVISION = 1;
/** Firmware puts ACPI tables at the end of low RAM; within this much of it. */
const SEARCH_BYTES = 1024 * 1024;
const LOW_TOP = 1n << 32n;
const BASE_AT = DMAR_BYTES + DRHD.BASE;
const BASE_BYTES = 8;
/** Until the registers are placed; no system would find anything there. */
const UNPLACED = 0xfed9_0000n;

/** A table for a unit of `haw` address bits, with these slots of bus 0 behind it. */
export function buildDmar(haw: number, slots: readonly number[], base: bigint = UNPLACED): Uint8Array {
  const drhdBytes = DRHD_BYTES + slots.length * SCOPE_BYTES;
  const table = new Uint8Array(DMAR_BYTES + drhdBytes);
  const view = viewOf(table);
  text(table, ACPI.SIGNATURE, "DMAR");
  view.setUint32(ACPI.LENGTH, table.length, true);
  table[ACPI.REVISION] = REVISION;
  text(table, ACPI.OEM_ID, OEM_ID);
  text(table, ACPI.OEM_TABLE, OEM_TABLE);
  text(table, ACPI.CREATOR, "IOMU");
  view.setUint32(ACPI.OEM_REVISION, REVISION, true);
  view.setUint32(ACPI.CREATOR_REVISION, REVISION, true);
  table[DMAR.WIDTH] = haw - 1;
  view.setUint16(DMAR_BYTES + DRHD.TYPE, DRHD_TYPE, true);
  view.setUint16(DMAR_BYTES + DRHD.LENGTH, drhdBytes, true);
  view.setBigUint64(BASE_AT, base, true);
  slots.forEach((slot, i) => {
    const at = DMAR_BYTES + DRHD_BYTES + i * SCOPE_BYTES;
    table[at + SCOPE.TYPE] = SCOPE_ENDPOINT;
    table[at + SCOPE.LENGTH] = SCOPE_BYTES;
    table[at + SCOPE.DEVICE] = slot;
  });
  setChecksum(table, ACPI.CHECKSUM);
  return table;
}

/** Makes all of `bytes` sum to 0. */
export function setChecksum(bytes: Uint8Array, at: number): void {
  bytes[at] = 0;
  bytes[at] = (256 - (bytes.reduce((sum, byte) => sum + byte, 0) % 256)) % 256;
}

/**
 * Finds the table where firmware has copied it and writes the address of the registers into it.
 * @returns where it is; undefined if it is not there
 */
export function patchDmar(ram: GuestRam, base: bigint): bigint | undefined {
  for (const { address, size } of ram.mapped.filter((region) => region.address + region.size <= LOW_TOP).reverse()) {
    const bytes = Number(size < SEARCH_BYTES ? size : BigInt(SEARCH_BYTES));
    const start = address + size - BigInt(bytes);
    const searched = new Uint8Array(bytes);
    if (!ram.read(start, searched)) continue;
    const at = findTable(searched);
    if (at === undefined) continue;
    const length = viewOf(searched).getUint32(at + ACPI.LENGTH, true);
    const table = searched.subarray(at, at + length);
    viewOf(table).setBigUint64(BASE_AT, base, true);
    setChecksum(table, ACPI.CHECKSUM);
    return ram.write(start + BigInt(at), table) ? start + BigInt(at) : undefined;
  }
  return undefined;
}

/** The offset of a whole table of ours. Firmware strings tables together without aligning them. */
function findTable(bytes: Uint8Array): number | undefined {
  for (let at = 0; at + BASE_AT + BASE_BYTES <= bytes.length; at++) {
    const isOurs =
      has(bytes, at + ACPI.SIGNATURE, "DMAR") &&
      has(bytes, at + ACPI.OEM_ID, OEM_ID) &&
      has(bytes, at + ACPI.OEM_TABLE, OEM_TABLE);
    if (!isOurs) continue;
    const length = viewOf(bytes).getUint32(at + ACPI.LENGTH, true);
    if (length >= BASE_AT + BASE_BYTES && at + length <= bytes.length) return at;
  }
  return undefined;
}

function has(bytes: Uint8Array, at: number, characters: string): boolean {
  for (let i = 0; i < characters.length; i++) if (bytes[at + i] !== characters.charCodeAt(i)) return false;
  return true;
}
