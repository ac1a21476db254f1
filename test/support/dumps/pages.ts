/** A capture's pages as runs of memory, to be written into dumps by the formats' own descriptions. */
import { readdirSync, readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { type Capture, parseCapture } from "../../../src/capture/capture.ts";

const CAPTURES = fileURLToPath(new URL("../../captures/", import.meta.url));

export const CAPTURE_NAMES: readonly string[] = readdirSync(CAPTURES)
  .filter((name) => name.endsWith(".json"))
  .map((name) => name.replace(".json", ""));

export const capturePath = (name: string): string => `${CAPTURES}${name}.json`;

export function readCapture(name: string): Capture {
  const pages = `${CAPTURES}${name}.pages.bin`;
  const json = capturePath(name);
  return parseCapture(readFileSync(json, "utf8"), new Uint8Array(readFileSync(pages)), { json, pages });
}

/** Pages that follow each other, as one. */
export interface Run {
  base: bigint;
  bytes: Uint8Array;
}

export function runsOf(capture: Capture): Run[] {
  const pages = [...capture.pages.pages].sort((a, b) => (a.gpa < b.gpa ? -1 : 1));
  const groups: { base: bigint; parts: Uint8Array[] }[] = [];
  for (const { gpa, bytes } of pages) {
    const group = groups.at(-1);
    if (group && group.base + BigInt(4096 * group.parts.length) === gpa) group.parts.push(bytes);
    else groups.push({ base: gpa, parts: [bytes] });
  }
  return groups.map(({ base, parts }) => ({ base, bytes: concat(parts) }));
}

export function concat(parts: readonly Uint8Array[]): Uint8Array {
  const out = new Uint8Array(parts.reduce((sum, { length }) => sum + length, 0));
  let at = 0;
  for (const part of parts) {
    out.set(part, at);
    at += part.length;
  }
  return out;
}

/** Little-endian numbers one after the other: [bytes, value]. */
export function numbers(...list: readonly (readonly [bytes: 1 | 2 | 4 | 8, value: number | bigint])[]): Uint8Array {
  const out = new Uint8Array(list.reduce((sum, [bytes]) => sum + bytes, 0));
  let at = 0;
  for (const [bytes, value] of list) {
    for (let i = 0; i < bytes; i++) out[at + i] = Number((BigInt(value) >> BigInt(8 * i)) & 0xffn);
    at += bytes;
  }
  return out;
}
