/** Captures and their traces from files: plain or gzip, by path or by name. */
import { existsSync, readFileSync, statSync } from "node:fs";
import { gunzipSync } from "node:zlib";
import { type Capture, parseCapture } from "../capture.ts";
import { InputError } from "../input.ts";
import { parseTrace, type TraceLine } from "../regtrace.ts";

const JSON_ENDINGS = ["", ".json", ".json.gz"];

/**
 * Reads a capture: `x.json`, `x.json.gz`, or `x` with either beside it; its pages lie in
 * `x.pages.bin` or `x.pages.bin.gz` in the same folder.
 * @throws InputError for a file that is missing, unreadable or torn
 */
export function loadCapture(argument: string): Capture {
  const json = findJson(argument);
  const pages = companion(json, ".pages.bin");
  if (pages === undefined) throw new InputError(`${stem(json)}.pages.bin`, "", `missing, ${json} needs it`);
  return parseCapture(new TextDecoder().decode(readFile(json)), readFile(pages), { json, pages });
}

/**
 * Reads a capture and its register trace: `x.regtrace.jsonl` or `x.regtrace.jsonl.gz` beside it.
 * @throws InputError
 */
export function loadTrace(argument: string): { capture: Capture; trace: TraceLine[] } {
  const json = findJson(argument);
  const capture = loadCapture(json);
  const file = companion(json, ".regtrace.jsonl");
  if (file === undefined) throw new InputError(`${stem(json)}.regtrace.jsonl.gz`, "", "missing, a replay needs it");
  return { capture, trace: parseTrace(new TextDecoder().decode(readFile(file)), file) };
}

function findJson(argument: string): string {
  const json = firstFile(JSON_ENDINGS.map((ending) => argument + ending));
  if (json === undefined) throw new InputError(argument, "", "no such capture (.json, .json.gz)");
  return json;
}

/** The file with another ending beside a capture, plain or gzip. */
function companion(json: string, ending: string): string | undefined {
  return firstFile([stem(json) + ending, `${stem(json)}${ending}.gz`]);
}

/** A file's bytes, unpacked if they are gzip. @throws InputError */
export function readFile(path: string): Uint8Array {
  let bytes: Uint8Array;
  try {
    bytes = readFileSync(path);
  } catch (error) {
    throw new InputError(path, "", `cannot be read (${(error as NodeJS.ErrnoException).code ?? error})`);
  }
  if (!isPacked(bytes)) return bytes;
  try {
    return gunzipSync(bytes);
  } catch (error) {
    throw new InputError(path, "", `torn gzip file (${(error as Error).message})`);
  }
}

/** Whether these are a gzip file's first bytes. */
export function isPacked(bytes: Uint8Array): boolean {
  return bytes[0] === 0x1f && bytes[1] === 0x8b;
}

function stem(json: string): string {
  return json.replace(/\.json(\.gz)?$/, "");
}

function firstFile(paths: readonly string[]): string | undefined {
  return paths.find((path) => existsSync(path) && statSync(path).isFile());
}
