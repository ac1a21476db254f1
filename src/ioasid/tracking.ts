/**
 * The table of one ID space: which IDs are in use, whose they are, and what is attached.
 *
 * A bitmap (Wasm) finds numbers. A record is 16 bits, mostly the owner, and a slot for the data:
 * 10 bytes an ID, in flat arrays that grow with the highest ID in use. A space of a million IDs is
 * larger than the processor's caches, so what few IDs need (more than one reference, a stamp, an owner
 * beyond the first 16,382 sets) is kept aside. A *retired* ID has no record any more but is not free
 * either: devices may still use it.
 */
import { type IdBitmap, MAX_ID } from "./bitmap.ts";

/** A record is 0 for none, else the owner's key + 1 (OWNER: it is kept aside) and these. */
const HAS_DATA = 0x8000;
const HAS_MORE = 0x4000;
const OWNER = HAS_MORE - 1;

const FIRST_CAPACITY = 64;

/** What most IDs do not have. */
interface More {
  references: number;
  owner: number;
  /** 0: nobody asked for it yet. */
  stamp: number;
}

export class Tracking {
  readonly bitmap: IdBitmap;
  #records: Uint16Array = new Uint16Array(FIRST_CAPACITY);
  #data: unknown[] = new Array(FIRST_CAPACITY).fill(null);
  readonly #more: Map<number, More> = new Map();
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
    if (id >= this.#records.length) this.#grow(id);
    if (owner + 1 < OWNER) {
      this.#records[id] = owner + 1;
    } else {
      this.#records[id] = OWNER | HAS_MORE;
      this.#more.set(id, { references: 1, owner, stamp: 0 });
    }
    if (data !== null) this.setData(id, data);
    this.#live++;
  }

  /** Drops the record of a live ID; the bitmap still holds the ID. */
  close(id: number): void {
    const record = this.#records[id] as number;
    this.#records[id] = 0;
    if (record & HAS_DATA) this.#data[id] = null;
    if (record & HAS_MORE) this.#more.delete(id);
    this.#live--;
  }

  /** References of a live ID; 0 for any other. */
  references(id: number): number {
    const record = id < this.#records.length ? (this.#records[id] as number) : 0;
    if (record & HAS_MORE) return (this.#more.get(id) as More).references;
    return record === 0 ? 0 : 1;
  }

  /** Whether this owner's is the only reference to a live ID, decided by one look at the record. */
  sole(id: number, owner: number): boolean {
    return id < this.#records.length && ((this.#records[id] as number) & ~HAS_DATA) === owner + 1;
  }

  /** Of a live ID, as all below. */
  setReferences(id: number, count: number): void {
    this.#moreOf(id).references = count;
  }

  /** Key of the owning set. */
  owner(id: number): number {
    const owner = (this.#records[id] as number) & OWNER;
    return owner === OWNER ? (this.#more.get(id) as More).owner : owner - 1;
  }

  /** Which allocation of the space this is: a number that no other allocation has. */
  stamp(id: number): number {
    const more = this.#moreOf(id);
    more.stamp ||= ++this.#stamp;
    return more.stamp;
  }

  data(id: number): unknown {
    return (this.#records[id] as number) & HAS_DATA ? this.#data[id] : null;
  }

  setData(id: number, data: unknown): void {
    this.#records[id] = (this.#records[id] as number) | HAS_DATA;
    this.#data[id] = data;
  }

  /** Whether the ID was freed and waits for devices to let go of it. */
  retired(id: number): boolean {
    return this.references(id) === 0 && this.bitmap.has(id);
  }

  #moreOf(id: number): More {
    let more = this.#more.get(id);
    if (!more) {
      more = { references: 1, owner: this.owner(id), stamp: 0 };
      this.#more.set(id, more);
      this.#records[id] = (this.#records[id] as number) | HAS_MORE;
    }
    return more;
  }

  #grow(id: number): void {
    let capacity = this.#records.length;
    while (capacity <= id) capacity *= 2;
    const records = new Uint16Array(Math.min(capacity, MAX_ID + 1));
    records.set(this.#records);
    const data = new Array<unknown>(records.length).fill(null);
    for (let i = 0; i < this.#data.length; i++) data[i] = this.#data[i];
    this.#records = records;
    this.#data = data;
  }
}
