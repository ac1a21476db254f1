/** From an image's register values to the walker of its IOMMU. */
import { PAGE0 } from "../../assembly/layout/smmuv3-registers.ts";
import { GSTS, RTADDR, TTM } from "../../assembly/layout/vtd-base.ts";
import { REG } from "../../assembly/layout/vtd-registers.ts";
import { hex } from "../check.ts";
import type { GuestMemory } from "../memory.ts";
import { type SmmuState, SmmuWalker } from "../smmuv3/walker.ts";
import { getField } from "../structure.ts";
import { MAX_SOURCE_ID, type VtdState, VtdWalker } from "../vtd/walker.ts";
import type { Walker } from "../walker.ts";
import { guestMemory, type ImageUnit, type MachineImage } from "./image/image.ts";
import type { RegisterDump } from "./registers.ts";

const MAX_STREAM_ID = 0xffff_ffff;

/** A walker over the image's pages (or over `memory`), with its registers; what it writes stays private. */
export function openWalker(image: MachineImage, memory: GuestMemory = guestMemory(image.pages)): Walker {
  const { iommu, registers } = image;
  return iommu === "vtd" ? new VtdWalker(memory, vtdState(registers)) : new SmmuWalker(memory, smmuState(registers));
}

export function vtdState(registers: RegisterDump): VtdState {
  const status = [BigInt(registers.read32(REG.GSTS))];
  return {
    cap: registers.read64(REG.CAP),
    ecap: registers.read64(REG.ECAP),
    version: registers.read32(REG.VER),
    rtaddr: registers.read64(REG.RTADDR),
    translationEnabled: getField(status, GSTS.TES) === 1n,
    interruptRemapping: getField(status, GSTS.IRES) === 1n,
  };
}

export function smmuState(registers: RegisterDump): SmmuState {
  return {
    idr0: registers.read32(PAGE0.IDR0),
    idr1: registers.read32(PAGE0.IDR1),
    idr3: registers.read32(PAGE0.IDR3),
    idr5: registers.read32(PAGE0.IDR5),
    aidr: registers.read32(PAGE0.AIDR),
    cr0: registers.read32(PAGE0.CR0),
    cr2: registers.read32(PAGE0.CR2),
    gbpa: registers.read32(PAGE0.GBPA),
    strtabBase: registers.read64(PAGE0.STRTAB_BASE),
    strtabBaseCfg: registers.read32(PAGE0.STRTAB_BASE_CFG),
  };
}

/** Largest source-id or StreamID that a request can carry. */
export function maxSid({ iommu }: ImageUnit): number {
  return iommu === "vtd" ? MAX_SOURCE_ID : MAX_STREAM_ID;
}

/** Whether VT-d tables are those of scalable mode. */
export function scalableMode({ iommu, registers }: ImageUnit): boolean {
  return iommu === "vtd" && rootMode(registers) === TTM.SCALABLE;
}

function rootMode(registers: RegisterDump): TTM {
  return Number(getField([registers.read64(REG.RTADDR)], RTADDR.TTM));
}

const ROOT_MODES = ["legacy mode", "scalable mode", "reserved mode", "abort-DMA mode"];

/** Where translation starts, in one line. */
export function rootOfTables({ iommu, registers }: ImageUnit): string {
  if (iommu === "vtd") {
    const table = registers.read64(REG.RTADDR);
    return `RTADDR ${hex(table)}: ${ROOT_MODES[rootMode(registers)]}`;
  }
  const config = registers.read32(PAGE0.STRTAB_BASE_CFG);
  return `STRTAB_BASE ${hex(registers.read64(PAGE0.STRTAB_BASE))}, STRTAB_BASE_CFG ${hex(config)}`;
}
