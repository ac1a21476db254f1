/** What a dump holds, as far as it is known: memory, registers with where each is from, devices. */
import type { MachineImage, MemoryRange } from "../../capture/image/image.ts";
import { chooseUnit, MissingRegisters, REGISTER_OPTIONS, registerName } from "../../capture/image/unit.ts";
import { type ImageOptions, type OpenMemory, openMemory } from "../../capture/node/image.ts";
import { rootOfTables } from "../../capture/state.ts";
import { hex } from "../../check.ts";
import type { Io } from "../io.ts";
import type { Paint } from "../paint.ts";
import { FEW, labelled, MIB } from "./labels.ts";

const IOMMU_NAMES = { vtd: "Intel VT-d", smmuv3: "Arm SMMUv3" } as const;

/** Lists a dump. Without registers its memory is all there is to list, and how to get them. @throws InputError */
export function listDump(
  file: string,
  options: ImageOptions,
  { json, paint, all }: { json: boolean; paint: Paint; all: boolean },
  io: Io,
): void {
  const memory = openMemory(file, options);
  try {
    const unit = unitOf(memory, options);
    io.out(json ? `${JSON.stringify(toJson(memory, unit))}\n` : describe(memory, unit, paint, all));
    if (unit instanceof MissingRegisters && !json) io.out(`\n${unit.advice}`);
  } finally {
    memory.close();
  }
}

type Unit = Pick<MachineImage, "iommu" | "registers">;

function unitOf(memory: OpenMemory, options: ImageOptions): Unit | MissingRegisters {
  try {
    return chooseUnit(memory.name, memory.texts, options, memory.iommu);
  } catch (error) {
    if (error instanceof MissingRegisters) return error;
    throw error;
  }
}

function describe(memory: OpenMemory, unit: Unit | MissingRegisters, paint: Paint, all: boolean): string {
  const lines = [
    `${paint("bold", memory.name)}: ${memory.origin}\n`,
    labelled(paint, "memory", ranges(memory.ram, all)),
  ];
  if (unit instanceof MissingRegisters) lines.push(labelled(paint, "registers", unit.missing));
  else {
    lines.push(labelled(paint, "IOMMU", IOMMU_NAMES[unit.iommu]), ...registers(unit, paint));
    lines.push(labelled(paint, "root", rootOfTables(unit)));
  }
  const shown = all ? memory.devices : memory.devices.slice(0, FEW);
  shown.forEach(({ address, text }, i) => {
    lines.push(labelled(paint, i === 0 ? "devices" : "", `${address} ${text}`, address.length + 1));
  });
  const more = memory.devices.length - shown.length;
  if (more > 0) lines.push(labelled(paint, "", `... and ${more} more (--all)`));
  return lines.join("");
}

function ranges(ram: readonly MemoryRange[], all: boolean): string {
  if (ram.length === 0) return "only the tables that the text shows";
  const shown = all ? ram : ram.slice(0, FEW);
  const list = shown.map(({ base, size }) => `${hex(base)}..${hex(base + size - 1n)}`).join(", ");
  const bytes = ram.reduce((sum, { size }) => sum + size, 0n);
  const more = ram.length - shown.length;
  return `${bytes / MIB} MiB: ${list}${more > 0 ? ` and ${more} more (--all)` : ""}`;
}

function registers({ iommu, registers }: Unit, paint: Paint): string[] {
  return known({ iommu, registers }).map(({ name, value, source }, i) =>
    labelled(paint, i === 0 ? "registers" : "", `${name.padEnd(16)}${value} (${source})`, 4),
  );
}

/** The registers that walks begin at. */
function known({ iommu, registers }: Unit): { name: string; value: string; source: string }[] {
  return Object.entries(REGISTER_OPTIONS)
    .filter(([, option]) => option.iommu === iommu)
    .map(([name, { offset, bits }]) => ({
      name: registerName(name),
      value: hex(bits === 64 ? registers.read64(offset) : registers.read32(offset)),
      source: registers.source(offset) || registers.source(offset + 4) || "not given",
    }));
}

function toJson(memory: OpenMemory, unit: Unit | MissingRegisters): Record<string, unknown> {
  const chosen = unit instanceof MissingRegisters ? undefined : unit;
  return {
    name: memory.name,
    origin: memory.origin,
    ram: memory.ram.map(({ base, size }) => ({ base: hex(base), size: hex(size) })),
    iommu: chosen?.iommu ?? null,
    registers: chosen ? known(chosen) : null,
    missing: unit instanceof MissingRegisters ? unit.missing : null,
    devices: memory.devices,
  };
}
