/**
 * The table of one ID space: which IDs are in use, whose they are, and what is attached.
 *
 * A bitmap (Wasm) finds numbers; records lie in pages of 1024, made on first use, so a sparse space
 * costs little and a full one some 20 bytes an ID. A *retired* ID has no record any more but is not
 * free either: devices may still use it.
 */
import type { IdBitmap } from "./bitmap.ts";
import { MAX_ID } from "./bitmap.ts";

const PAGE_SHIFT = 10;
const PAGE_IDS = 1 << PAGE_SHIFT;
const IN_PAGE = PAGE_IDS - 1;

/** Words of a record. References: 0 = no record. */
const OWNER = 0;
const REFERENCES = 1;
const STAMP = 2;
const WORDS = 3;

interface Page {
  readonly words: Uint32Array;
  readonly data: unknown[];
}

export class Tracking {
  readonly bitmap: IdBitmap;
  readonly #pages: (Page | undefined)[] = new Array(Math.ceil((MAX_ID + 1) / PAGE_IDS)).fill(undefined);
  #live = 0;
  #stamp = 0;

  constructor(bitmap: IdBitmap) {
    this.bitmap = bitmap;
  }

  /** IDs that have a record. */
  get live(): number {
    return this.#live;
  }

  /** No ID is in use, nor retired. */
  get empty(): boolean {
    return this.bitmap.count === 0;
  }

  /** Opens a record, with one reference, for an ID that the bitmap holds. */
  open(id: number, owner: number, data: unknown): void {
    this.#pages[id >> PAGE_SHIFT] ??= newPage();
    const page = this.#pages[id >> PAGE_SHIFT] as Page;
    const at = (id & IN_PAGE) * WORDS;
    page.words[at + OWNER] = owner;
    page.words[at + REFERENCES] = 1;
    page.words[at + STAMP] = this.#stamp = (this.#stamp + 1) >>> 0;
    page.data[id & IN_PAGE] = data;
    this.#live++;
  }

  /** Drops the record; the bitmap still holds the ID. */
  close(id: number): void {
    const page = this.#pages[id >> PAGE_SHIFT];
    if (!page) return;
    page.words[(id & IN_PAGE) * WORDS + REFERENCES] = 0;
    page.data[id & IN_PAGE] = null;
    this.#live--;
  }

  /** References of a live ID; 0 for any other. */
  references(id: number): number {
    return this.#word(id, REFERENCES);
  }

  setReferences(id: number, count: number): void {
    const page = this.#pages[id >> PAGE_SHIFT];
    if (page) page.words[(id & IN_PAGE) * WORDS + REFERENCES] = count;
  }

  /** Key of the owning set, of a live ID. */
  owner(id: number): number {
    return this.#word(id, OWNER);
  }

  /** Which allocation of the space this is, of a live ID. */
  stamp(id: number): number {
    return this.#word(id, STAMP);
  }

  data(id: number): unknown {
    return this.#pages[id >> PAGE_SHIFT]?.data[id & IN_PAGE];
  }

  setData(id: number, data: unknown): void {
    const page = this.#pages[id >> PAGE_SHIFT];
    if (page) page.data[id & IN_PAGE] = data;
  }

  /** Whether the ID was freed and waits for devices to let go of it. */
  retired(id: number): boolean {
    return this.references(id) === 0 && this.bitmap.has(id);
  }

  #word(id: number, word: number): number {
    const page = this.#pages[id >> PAGE_SHIFT];
    return page ? (page.words[(id & IN_PAGE) * WORDS + word] as number) : 0;
  }
}

function newPage(): Page {
  return { words: new Uint32Array(PAGE_IDS * WORDS), data: new Array(PAGE_IDS).fill(null) };
}
