/** Hands out zeroed pages of guest RAM, for those who build tables. */
import { checkBigInt, checkInteger, hex } from "./check.ts";
import { ADDRESS_BITS, type GuestMemory } from "./memory.ts";

const PAGE = 4096;

export class PageAllocator {
  readonly #memory: GuestMemory;
  readonly #end: bigint;
  #next: bigint;

  /**
   * @param base first address, a multiple of 4096
   * @param bytes how much may be handed out
   */
  constructor(memory: GuestMemory, base: bigint, bytes: bigint) {
    const top = 2n ** BigInt(ADDRESS_BITS);
    checkBigInt("base", base, 0n, top - 1n);
    checkBigInt("bytes", bytes, 0n, top);
    if (base % BigInt(PAGE)) throw new RangeError(`base: ${hex(base)} is not a multiple of 4096`);
    this.#memory = memory;
    this.#next = base;
    this.#end = base + bytes;
  }

  /** Address the next page would have. */
  get next(): bigint {
    return this.#next;
  }

  /**
   * Address of `pages` zeroed pages in a row, aligned to `align` bytes.
   * @throws RangeError when the range is used up
   */
  allocate(pages = 1, align: number = PAGE): bigint {
    checkInteger("pages", pages, 1, Number.MAX_SAFE_INTEGER / PAGE);
    checkInteger("align", align, PAGE, Number.MAX_SAFE_INTEGER);
    const unit = BigInt(align);
    const address = ((this.#next + unit - 1n) / unit) * unit;
    const end = address + BigInt(pages * PAGE);
    if (end > this.#end) throw new RangeError(`pages: ${pages} do not fit below ${hex(this.#end)}`);
    this.#memory.writeBytes(address, new Uint8Array(pages * PAGE));
    this.#next = end;
    return address;
  }
}
