/** PCI configuration space: bytes of which each bit is read-only, writable, or cleared by writing 1. */
import {
  BAR,
  CAPABILITY,
  COMMAND,
  CONFIG,
  EXTENDED,
  FIRST_EXTENDED,
  REVISION_CLASS,
  STATUS,
} from "../../assembly/layout/pci.ts";
import { getBits, maskOf, putBits } from "../structure.ts";

export interface ConfigOptions {
  bytes: number;
  vendor: number;
  device: number;
  /** CLASS */
  classCode: number;
  /** Size of BAR 0, a power of two. */
  bar0Bytes: number;
}

/** What a register holds from power-on, and what software may do to it. */
export interface ConfigRegister {
  offset: number;
  bytes: 1 | 2 | 4;
  value?: bigint;
  /** Bits that take what is written. */
  writable?: bigint;
  /** Bits that are cleared where 1 is written. */
  clearable?: bigint;
}

const MAX_REGISTER = 0xffff_ffffn;

export class ConfigSpace {
  readonly bytes: number;
  readonly #data: Uint8Array;
  readonly #initial: Uint8Array;
  readonly #writable: Uint8Array;
  readonly #clearable: Uint8Array;
  readonly #bar0Mask: bigint;
  #capability: number = CONFIG.CAPABILITIES;
  #extended = 0;

  constructor({ bytes, vendor, device, classCode, bar0Bytes }: ConfigOptions) {
    this.bytes = bytes;
    this.#data = new Uint8Array(bytes);
    this.#initial = new Uint8Array(bytes);
    this.#writable = new Uint8Array(bytes);
    this.#clearable = new Uint8Array(bytes);
    // What sizes a BAR: the address bits below its size stay 0.
    this.#bar0Mask = maskOf(BAR.ADDRESS) & ~BigInt(bar0Bytes - 1);
    this.define({ offset: CONFIG.VENDOR, bytes: 2, value: BigInt(vendor) });
    this.define({ offset: CONFIG.DEVICE, bytes: 2, value: BigInt(device) });
    const { MEMORY_SPACE, BUS_MASTER, PARITY_ERROR_RESPONSE, SERR, INTX_DISABLE } = COMMAND;
    const settings = [MEMORY_SPACE, BUS_MASTER, PARITY_ERROR_RESPONSE, SERR, INTX_DISABLE];
    this.define({ offset: CONFIG.COMMAND, bytes: 2, writable: settings.reduce((all, f) => all | maskOf(f), 0n) });
    const revision = putBits(putBits(0n, REVISION_CLASS.CLASS, classCode), REVISION_CLASS.REVISION, 1);
    this.define({ offset: CONFIG.REVISION_CLASS, bytes: 4, value: revision });
    this.define({ offset: CONFIG.BAR0, bytes: 4, writable: this.#bar0Mask });
    this.define({ offset: CONFIG.SUBSYSTEM_VENDOR, bytes: 2, value: BigInt(vendor) });
    this.define({ offset: CONFIG.SUBSYSTEM, bytes: 2, value: BigInt(device) });
  }

  /** Adds a register. */
  define({ offset, bytes, value = 0n, writable = 0n, clearable = 0n }: ConfigRegister): void {
    store(this.#data, offset, bytes, value);
    store(this.#writable, offset, bytes, writable);
    store(this.#clearable, offset, bytes, clearable);
    store(this.#initial, offset, bytes, value);
  }

  /** Links a capability at `offset` to the list. */
  addCapability(id: number, offset: number): void {
    const isFirst = this.#capability === CONFIG.CAPABILITIES;
    if (isFirst) {
      this.define({ offset: CONFIG.STATUS, bytes: 2, value: maskOf(STATUS.CAPABILITIES_LIST) });
      this.define({ offset: CONFIG.CAPABILITIES, bytes: 1, value: BigInt(offset) });
    } else {
      const last = putBits(this.get(this.#capability, 2), CAPABILITY.NEXT, offset);
      this.define({ offset: this.#capability, bytes: 2, value: last });
    }
    this.define({ offset, bytes: 2, value: putBits(0n, CAPABILITY.ID, id) });
    this.#capability = offset;
  }

  /** Links an extended capability; the first one must be at FIRST_EXTENDED. */
  addExtendedCapability(id: number, offset: number): void {
    if (this.#extended === 0 && offset !== FIRST_EXTENDED) {
      throw new RangeError(`offset: the first extended capability is at ${FIRST_EXTENDED}, not ${offset}`);
    }
    if (this.#extended !== 0) {
      const last = putBits(this.get(this.#extended, 4), EXTENDED.NEXT, offset);
      this.define({ offset: this.#extended, bytes: 4, value: last });
    }
    this.define({ offset, bytes: 4, value: putBits(putBits(0n, EXTENDED.ID, id), EXTENDED.VERSION, 1) });
    this.#extended = offset;
  }

  /** A register's value as it is now. */
  get(offset: number, bytes: 1 | 2 | 4): bigint {
    let value = 0n;
    for (let i = bytes - 1; i >= 0; i--) value = value * 256n + BigInt(this.#data[offset + i] ?? 0);
    return value;
  }

  has(offset: number, field: number): boolean {
    return getBits(this.get(offset, 2), field) !== 0n;
  }

  /** The function itself sets a register. */
  set(offset: number, bytes: 1 | 2 | 4, value: bigint): void {
    store(this.#data, offset, bytes, value);
  }

  read(offset: number, into: Uint8Array): void {
    into.set(this.#data.subarray(offset, offset + into.length));
  }

  write(offset: number, data: Uint8Array): void {
    data.forEach((byte, i) => {
      const at = offset + i;
      const writable = this.#writable[at] ?? 0;
      const held = (this.#data[at] ?? 0) & ~(byte & (this.#clearable[at] ?? 0));
      this.#data[at] = (held & ~writable) | (byte & writable);
    });
  }

  reset(): void {
    this.#data.set(this.#initial);
  }

  /** Where BAR 0 is; undefined while it has no address. */
  get bar0(): bigint | undefined {
    const address = this.get(CONFIG.BAR0, 4) & this.#bar0Mask;
    // All ones is what sizing leaves behind for a moment.
    return address === 0n || address === this.#bar0Mask ? undefined : address;
  }
}

function store(bytes: Uint8Array, offset: number, count: number, value: bigint): void {
  let rest = value & MAX_REGISTER;
  for (let i = 0; i < count; i++, rest /= 256n) bytes[offset + i] = Number(rest % 256n);
}
