/** Flattened device trees, read and written: Devicetree Specification 0.4, chapter 5. */
import {
  FDT,
  FDT_BYTES,
  FDT_LAST_COMPATIBLE,
  FDT_MAGIC,
  FDT_RESERVATION_BYTES,
  FDT_TOKEN,
  FDT_VERSION,
} from "../../assembly/layout/firmware.ts";
import { text, viewOf } from "./bytes.ts";

export interface TreeNode {
  name: string;
  properties: Map<string, Uint8Array>;
  children: TreeNode[];
}

const WORD = 4;

/** @throws RangeError for what is no device tree, or a torn one */
export function parseTree(blob: Uint8Array): TreeNode {
  const view = viewOf(blob);
  if (blob.length < FDT_BYTES || view.getUint32(FDT.MAGIC) !== FDT_MAGIC) throw new RangeError("no device tree");
  return new Parser(blob, view.getUint32(FDT.STRUCTURE), view.getUint32(FDT.STRINGS)).root();
}

class Parser {
  readonly #blob: Uint8Array;
  readonly #view: DataView;
  readonly #strings: number;
  #at: number;

  constructor(blob: Uint8Array, structure: number, strings: number) {
    this.#blob = blob;
    this.#view = viewOf(blob);
    this.#at = structure;
    this.#strings = strings;
  }

  root(): TreeNode {
    if (this.#token() !== FDT_TOKEN.BEGIN_NODE) throw new RangeError("a device tree without a root");
    return this.#node();
  }

  #node(): TreeNode {
    const name = this.#string(this.#at);
    this.#skip(name.length + 1);
    const node: TreeNode = { name, properties: new Map(), children: [] };
    for (;;) {
      const token = this.#token();
      if (token === FDT_TOKEN.END_NODE) return node;
      if (token === FDT_TOKEN.BEGIN_NODE) node.children.push(this.#node());
      else if (token === FDT_TOKEN.PROPERTY) this.#property(node);
      else throw new RangeError(`token ${token} in a device tree`);
    }
  }

  #property({ properties }: TreeNode): void {
    const bytes = this.#word();
    const name = this.#string(this.#strings + this.#word());
    if (this.#at + bytes > this.#blob.length) throw new RangeError("a device tree that is cut off");
    // A copy, also of a Buffer, whose slice would be none.
    properties.set(name, new Uint8Array(this.#blob.subarray(this.#at, this.#at + bytes)));
    this.#skip(bytes);
  }

  #token(): FDT_TOKEN {
    let token = this.#word();
    while (token === FDT_TOKEN.NOP) token = this.#word();
    return token;
  }

  #word(): number {
    this.#at += WORD;
    return this.#view.getUint32(this.#at - WORD);
  }

  #string(start: number): string {
    const end = this.#blob.indexOf(0, start);
    if (end < 0) throw new RangeError("a device tree that is cut off");
    return String.fromCharCode(...this.#blob.subarray(start, end));
  }

  #skip(bytes: number): void {
    this.#at += Math.ceil(bytes / WORD) * WORD;
  }
}

/** The tree as a blob, without memory reservations. */
export function writeTree(root: TreeNode): Uint8Array {
  const names = new Map<string, number>();
  const parts: Uint8Array[] = [];
  const put = (node: TreeNode): void => {
    parts.push(cells(FDT_TOKEN.BEGIN_NODE), padded(asciiz(node.name)));
    for (const [name, value] of node.properties) {
      const known = names.get(name) ?? [...names.keys()].reduce((sum, { length }) => sum + length + 1, 0);
      names.set(name, known);
      parts.push(cells(FDT_TOKEN.PROPERTY, value.length, known), padded(value));
    }
    for (const child of node.children) put(child);
    parts.push(cells(FDT_TOKEN.END_NODE));
  };
  put(root);
  parts.push(cells(FDT_TOKEN.END));
  const structure = joined(parts);
  const strings = joined([...names.keys()].map(asciiz));
  const at = FDT_BYTES + FDT_RESERVATION_BYTES;
  const head = cells(FDT_MAGIC, 0, at, at + structure.length, FDT_BYTES, FDT_VERSION, FDT_LAST_COMPATIBLE, 0, 0, 0);
  const view = viewOf(head);
  view.setUint32(FDT.STRINGS_SIZE, strings.length);
  view.setUint32(FDT.STRUCTURE_SIZE, structure.length);
  view.setUint32(FDT.TOTAL_SIZE, at + structure.length + strings.length);
  return joined([head, new Uint8Array(FDT_RESERVATION_BYTES), structure, strings]);
}

/** 32-bit big-endian cells. */
export function cells(...values: number[]): Uint8Array {
  const bytes = new Uint8Array(values.length * WORD);
  values.forEach((value, i) => {
    viewOf(bytes).setUint32(i * WORD, value);
  });
  return bytes;
}

/** A property's cells. */
export function cellsOf(value: Uint8Array | undefined): number[] {
  if (!value) return [];
  return Array.from({ length: Math.floor(value.length / WORD) }, (_, i) => viewOf(value).getUint32(i * WORD));
}

export function asciiz(characters: string): Uint8Array {
  const bytes = new Uint8Array(characters.length + 1);
  text(bytes, 0, characters);
  return bytes;
}

/** The node itself and all below it. */
export function* nodesOf(node: TreeNode): Iterable<TreeNode> {
  yield node;
  for (const child of node.children) yield* nodesOf(child);
}

/** The first node that is compatible with `name`. */
export function findCompatible(root: TreeNode, name: string): TreeNode | undefined {
  for (const node of nodesOf(root)) {
    const names = String.fromCharCode(...(node.properties.get("compatible") ?? [])).split("\0");
    if (names.includes(name)) return node;
  }
  return undefined;
}

function padded(bytes: Uint8Array): Uint8Array {
  const whole = new Uint8Array(Math.ceil(bytes.length / WORD) * WORD);
  whole.set(bytes);
  return whole;
}

function joined(parts: readonly Uint8Array[]): Uint8Array {
  const bytes = new Uint8Array(parts.reduce((sum, { length }) => sum + length, 0));
  let at = 0;
  for (const part of parts) {
    bytes.set(part, at);
    at += part.length;
  }
  return bytes;
}
