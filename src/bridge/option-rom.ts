/**
 * A PCI expansion ROM that switches bus mastering on for the IOMMU's function.
 *
 * Systems never do that for a host bridge, and without it a machine drops the unit's interrupt messages.
 * Firmware runs the ROM after it has placed BARs and ACPI tables, which makes its write to COMMAND the sign
 * that both can be found. PCI Firmware 3.3 chapter 5; services of PCI BIOS 2.1 (INT 1Ah, AH = B1h).
 */
import { PCIR, PCIR_BYTES, PCIR_LAST_IMAGE, PNP, PNP_BYTES, ROM } from "../../assembly/layout/firmware.ts";
import { CLASS_HOST_BRIDGE } from "../../assembly/layout/pci.ts";
import { text, viewOf } from "./bytes.ts";
import { setChecksum } from "./dmar.ts";
import { IOMMU_DEVICE, IOMMU_VENDOR } from "./iommu-function.ts";

export const ROM_BYTES = 512;
const PCIR_AT = 0x1c;
const PNP_AT = 0x40;
const CODE_AT = 0x60;

/** Real-mode code. Firmware calls it with the function's bus, device and function in AX. */
const CODE: readonly number[] = [
  ...[0x60], // PUSHA
  ...[0x89, 0xc3], // MOV BX, AX         the function, as PCI BIOS takes it
  ...[0xbf, 0x04, 0x00], // MOV DI, 0004h      register COMMAND
  ...[0xb8, 0x09, 0xb1], // MOV AX, B109h      READ_CONFIG_WORD
  ...[0xcd, 0x1a], // INT 1Ah            CX = COMMAND
  ...[0x83, 0xc9, 0x04], // OR CX, 0004h       Bus Master Enable
  ...[0xb8, 0x0c, 0xb1], // MOV AX, B10Ch      WRITE_CONFIG_WORD
  ...[0xcd, 0x1a], // INT 1Ah
  ...[0x61], // POPA
  ...[0x31, 0xc0], // XOR AX, AX         nothing to boot from
  ...[0xcb], // RETF
];
/** JMP rel8 takes two bytes; its distance counts from behind them. */
const JMP_SHORT = 0xeb;
const JMP_BYTES = 2;

export function buildOptionRom(): Uint8Array {
  const rom = new Uint8Array(ROM_BYTES);
  const view = viewOf(rom);
  rom.set([0x55, 0xaa], ROM.SIGNATURE);
  rom[ROM.BLOCKS] = 1;
  rom.set([JMP_SHORT, CODE_AT - ROM.ENTRY - JMP_BYTES], ROM.ENTRY);
  view.setUint16(ROM.PCIR, PCIR_AT, true);
  view.setUint16(ROM.PNP, PNP_AT, true);
  text(rom, PCIR_AT + PCIR.SIGNATURE, "PCIR");
  view.setUint16(PCIR_AT + PCIR.VENDOR, IOMMU_VENDOR, true);
  view.setUint16(PCIR_AT + PCIR.DEVICE, IOMMU_DEVICE, true);
  view.setUint16(PCIR_AT + PCIR.LENGTH, PCIR_BYTES, true);
  // 24 bits: the 32-bit store's last byte is the image length's first, written next.
  view.setUint32(PCIR_AT + PCIR.CLASS, CLASS_HOST_BRIDGE, true);
  view.setUint16(PCIR_AT + PCIR.BLOCKS, 1, true);
  rom[PCIR_AT + PCIR.INDICATOR] = PCIR_LAST_IMAGE;
  // Firmware tells only ROMs with this header which function they belong to.
  text(rom, PNP_AT + PNP.SIGNATURE, "$PnP");
  rom[PNP_AT + PNP.REVISION] = 1;
  rom[PNP_AT + PNP.LENGTH] = PNP_BYTES / 16;
  setChecksum(rom.subarray(PNP_AT, PNP_AT + PNP_BYTES), PNP.CHECKSUM);
  rom.set(CODE, CODE_AT);
  setChecksum(rom, ROM_BYTES - 1);
  return rom;
}
