/** What a dump holds, as far as it is known: memory, registers with where each is from, devices. */
import type { ImageUnit, MachineImage, MemoryRange } from "../../capture/image/image.ts";
import { MissingRegisters, REGISTER_OPTIONS, registerName } from "../../capture/image/unit.ts";
import { type ImageOptions, type OpenMemory, openMemory, withRegisters } from "../../capture/node/image.ts";
import { openReach } from "../../capture/reach.ts";
import { rootOfTables } from "../../capture/state.ts";
import { hex } from "../../check.ts";
import type { Io } from "../io.ts";
import type { Paint } from "../paint.ts";
import { FEW, IOMMU_NAMES, labelled } from "./labels.ts";
import { tellRequesters } from "./map.ts";
import { requestersToJson } from "./map-json.ts";
import { showSize } from "./verdict.ts";

/** Lists a dump. Without registers its memory is all there is to list, and how to get them. @throws InputError */
export function listDump(
  file: string,
  options: ImageOptions,
  { json, paint, all }: { json: boolean; paint: Paint; all: boolean },
  io: Io,
): void {
  const memory = openMemory(file, options);
  try {
    const image = complete(memory, options);
    io.out(json ? `${JSON.stringify(toJson(memory, image))}\n` : describe(memory, image, paint, all));
  } finally {
    memory.close();
  }
}

function complete(memory: OpenMemory, options: ImageOptions): MachineImage | MissingRegisters {
  try {
    return withRegisters(memory, options);
  } catch (error) {
    if (error instanceof MissingRegisters) return error;
    throw error;
  }
}

function describe(memory: OpenMemory, image: MachineImage | MissingRegisters, paint: Paint, all: boolean): string {
  const lines = [
    `${paint("bold", memory.name)}: ${memory.origin}\n`,
    labelled(paint, "memory", ranges(memory.ram, all)),
  ];
  if (image instanceof MissingRegisters) lines.push(labelled(paint, "registers", image.missing));
  else {
    lines.push(labelled(paint, "IOMMU", IOMMU_NAMES[image.iommu]), ...registers(image, paint));
    lines.push(labelled(paint, "root", rootOfTables(image)));
  }
  const shown = all ? memory.devices : memory.devices.slice(0, FEW);
  shown.forEach(({ address, text }, i) => {
    lines.push(labelled(paint, i === 0 ? "devices" : "", `${address} ${text}`, address.length + 1));
  });
  const more = memory.devices.length - shown.length;
  if (more > 0) lines.push(labelled(paint, "", `... and ${more} more (--all)`));
  lines.push(image instanceof MissingRegisters ? `\n${image.advice}` : requests(image, paint, all));
  return lines.join("");
}

/** What the tables have for each device. */
function requests(image: MachineImage, paint: Paint, all: boolean): string {
  const { requesters } = openReach(image).survey;
  if (requesters.length === 0) return "\nno device has an entry in the tables\n";
  const shown = all ? requesters : requesters.slice(0, FEW);
  const more = requesters.length - shown.length;
  const rest = more > 0 ? `\n... and ${more} more devices (--all)\n` : "";
  return shown.map((one) => tellRequesters(one, { image, paint, all })).join("") + rest;
}

function ranges(ram: readonly MemoryRange[], all: boolean): string {
  if (ram.length === 0) return "only the tables that the text shows";
  const shown = all ? ram : ram.slice(0, FEW);
  const list = shown.map(({ base, size }) => `${hex(base)}..${hex(base + size - 1n)}`).join(", ");
  const bytes = ram.reduce((sum, { size }) => sum + size, 0n);
  const more = ram.length - shown.length;
  return `${showSize(bytes)}: ${list}${more > 0 ? ` and ${more} more (--all)` : ""}`;
}

/** Where each is from, unless it is from where the one before is from. */
function registers(unit: ImageUnit, paint: Paint): string[] {
  let before = "";
  return known(unit).map(({ name, value, source }, i) => {
    const from = source === before ? "" : ` (${source})`;
    before = source;
    return labelled(paint, i === 0 ? "registers" : "", `${name.padEnd(16)}${value}${from}`, 4);
  });
}

/** The registers that walks begin at. */
function known({ iommu, registers }: ImageUnit): { name: string; value: string; source: string }[] {
  return Object.entries(REGISTER_OPTIONS)
    .filter(([, option]) => option.iommu === iommu)
    .map(([name, { offset, bits }]) => ({
      name: registerName(name),
      value: hex(bits === 64 ? registers.read64(offset) : registers.read32(offset)),
      source: registers.source(offset) || registers.source(offset + 4) || "not given",
    }));
}

function toJson(memory: OpenMemory, found: MachineImage | MissingRegisters): Record<string, unknown> {
  const image = found instanceof MissingRegisters ? undefined : found;
  return {
    name: memory.name,
    origin: memory.origin,
    ram: memory.ram.map(({ base, size }) => ({ base: hex(base), size: hex(size) })),
    iommu: image?.iommu ?? null,
    registers: image ? known(image) : null,
    missing: found instanceof MissingRegisters ? found.missing : null,
    devices: memory.devices,
    requesters: image ? openReach(image).survey.requesters.map(requestersToJson) : null,
  };
}
