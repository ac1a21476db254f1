/** Machine images from files of any known kind, recognised by what is in them. */
import { existsSync, statSync } from "node:fs";
import { IOMMUS, parseRegisters } from "../capture.ts";
import type { ImageDevice, MachineImage } from "../image/image.ts";
import { readLspci } from "../image/lspci.ts";
import { type DumpedMemory, openDump } from "../image/open.ts";
import type { RawRange } from "../image/raw.ts";
import { readRegisterText, type UnitText } from "../image/register-text.ts";
import { openText } from "../image/text-image.ts";
import { chooseUnit, type UnitChoice, withOptions } from "../image/unit.ts";
import { InputError, Json } from "../input.ts";
import { FileBytes } from "./file-bytes.ts";
import { isPacked, loadCapture, readFile } from "./files.ts";
import { unpackers } from "./unpackers.ts";

export interface ImageOptions extends UnitChoice {
  /** Where a raw image's bytes lie; empty for every other kind. */
  ram?: readonly RawRange[];
  /** Texts with registers. */
  registerFiles?: readonly string[];
}

/** An image, open: memory is read out of the file until `close`. */
export interface OpenImage {
  readonly image: MachineImage;
  close(): void;
}

/** The memory of an image whose registers may not be known. */
export interface OpenMemory extends DumpedMemory {
  name: string;
  /** The registers that came with it. */
  texts: readonly UnitText[];
  devices: MachineImage["devices"];
  close(): void;
}

/** Text on a live machine is short; what is longer is something else. */
const MAX_TEXT = 64 * 1024 * 1024;

/**
 * Opens a capture, or a dump with the registers that `options` name.
 * @throws MissingRegisters, saying which and how to get them; InputError
 */
export function openImage(argument: string, options: ImageOptions = {}): OpenImage {
  if (isCapture(argument)) {
    const capture = loadCapture(argument);
    return { image: { ...capture, ...withOptions(argument, capture, options) }, close: () => {} };
  }
  const memory = openMemory(argument, options);
  try {
    return { image: withRegisters(memory, options), close: memory.close };
  } catch (error) {
    memory.close();
    throw error;
  }
}

/** A dump with its registers. @throws MissingRegisters; InputError when it is not clear which unit is meant */
export function withRegisters(memory: OpenMemory, options: ImageOptions): MachineImage {
  const { name, origin, pages, ram, devices } = memory;
  return { name, origin, pages, ram, devices, ...chooseUnit(name, memory.texts, options, memory.iommu) };
}

/** Opens a dump, without asking for registers. @throws InputError */
export function openMemory(argument: string, options: ImageOptions = {}): OpenMemory {
  const given = (options.registerFiles ?? []).map(readRegisterFile);
  const texts = given.flatMap((file) => file.texts);
  const devices = given.flatMap((file) => file.devices);
  const file = new FileBytes(argument);
  const close = () => file.close();
  try {
    const dump = openDump(file, options.ram ?? [], unpackers(argument));
    if (dump) return { ...dump, name: argument, texts, devices, close };
    const text = readText(file);
    const image = text === undefined ? undefined : openText(text, argument, options.unit);
    if (image) {
      return {
        ...image,
        name: argument,
        texts: [...image.texts, ...texts],
        devices: [...image.devices, ...devices],
        close,
      };
    }
    throw new InputError(argument, "", UNKNOWN);
  } catch (error) {
    close();
    throw error;
  }
}

const UNKNOWN =
  "neither a capture nor an ELF core, kdump, LiME or AVML image, nor text from debugfs; if it is a raw image, say where its bytes lie: --ram 0 (--help)";

/** What a text of `--regs` says: about registers, about devices, or both. */
function readRegisterFile(path: string): { texts: UnitText[]; devices: ImageDevice[] } {
  const bytes = readFile(path);
  if (bytes.length > MAX_TEXT)
    throw new InputError(path, "", `has ${bytes.length} bytes; registers as text are shorter`);
  const text = new TextDecoder().decode(bytes);
  if (text.trimStart().startsWith("{")) return { texts: [readCaptureRegisters(text, path)], devices: [] };
  const texts = readRegisterText(text, path);
  const devices = readLspci(text);
  if (texts.length + devices.length === 0) {
    throw new InputError(path, "", "names no registers (--help lists what is read)");
  }
  return { texts, devices };
}

/** A capture's JSON, or no more of it than its registers. */
function readCaptureRegisters(text: string, path: string): UnitText {
  const root = Json.parse(path, text);
  const iommu = root.at("iommu");
  const values = parseRegisters(root.at("registers"));
  const sources = new Map([...values.keys()].map((offset) => [offset, path]));
  return { unit: "", iommu: iommu.present ? iommu.oneOf(IOMMUS) : undefined, values, sources };
}

/** The file as text; undefined when it has bytes that no text has. @throws InputError for text that is too long */
function readText(file: FileBytes): string | undefined {
  if (file.read(0, Math.min(SAMPLE_BYTES, file.size)).includes(0)) return undefined;
  if (file.size > MAX_TEXT)
    throw new InputError(file.name, "", `has ${file.size} bytes; as text, at most ${MAX_TEXT} are read`);
  const bytes = file.read(0, file.size);
  return bytes.includes(0) ? undefined : new TextDecoder().decode(bytes);
}

const SAMPLE_BYTES = 4096;

/** A capture is JSON, maybe packed, or a name that stands for one. */
export function isCapture(argument: string): boolean {
  if (!existsSync(argument) || !statSync(argument).isFile()) return true;
  const file = new FileBytes(argument);
  const start = file.read(0, Math.min(START_BYTES, file.size));
  file.close();
  return (
    isPacked(start) ||
    String.fromCharCode(...start)
      .trimStart()
      .startsWith("{")
  );
}

const START_BYTES = 16;
