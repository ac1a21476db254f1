/** The machine the cases run on: real guest memory for the emulator, and the oracle's own copy of it. */
import { GuestMemory, type HostBacking } from "../../../src/index.ts";
import type { OracleMemory } from "../smmu-oracle/index.ts";
import { type Image, REGIONS, type Region } from "./image.ts";

/** Bytes that the emulator reaches through callbacks. */
class HostBytes implements HostBacking {
  readonly bytes: Buffer;
  readonly #base: bigint;
  constructor({ base, size }: Region) {
    this.#base = base;
    this.bytes = Buffer.alloc(Number(size));
  }
  read(address: bigint, into: Uint8Array): boolean {
    const at = Number(address - this.#base);
    into.set(this.bytes.subarray(at, at + into.length));
    return true;
  }
  write(address: bigint, from: Uint8Array): boolean {
    this.bytes.set(from, Number(address - this.#base));
    return true;
  }
}

export class Platform {
  readonly memory: GuestMemory;
  /** The oracle's bytes, one buffer a region. */
  readonly #copies = REGIONS.map((region) => Buffer.alloc(Number(region.size)));
  readonly #poisons = new Set<bigint>();
  #loaded: bigint[] = [];

  constructor() {
    this.memory = new GuestMemory({
      ram: REGIONS.map((region) => ({
        base: region.base,
        size: region.size,
        ...(region.host ? { host: new HostBytes(region) } : {}),
      })),
      workspace: 1 << 24,
    });
  }

  /** Both memories as the image says; what an earlier case left is gone. */
  load(image: Image): void {
    this.unload();
    this.memory.heal();
    this.#poisons.clear();
    for (const [address, word] of image.words) {
      if (address >> 52n || !this.memory.contains(address, 8)) continue;
      this.#loaded.push(address);
      this.#store(address, word);
    }
    for (const address of image.poisons.filter((at) => at >> 52n === 0n).slice(0, 16)) {
      this.memory.poison(address & ~7n, 8);
      this.#poisons.add(address & ~7n);
    }
  }

  /** The emulator's memory alone, back to the image. */
  reload(image: Image): void {
    for (const address of this.#loaded) this.memory.write64(address, image.words.get(address) ?? 0n);
  }

  unload(): void {
    for (const address of this.#loaded) this.#store(address, 0n);
    this.#loaded = [];
  }

  /** Region whose bytes differ between the emulator's memory and the oracle's; undefined if none. */
  difference(): string | undefined {
    for (const [i, { base, size }] of REGIONS.entries()) {
      const bytes = this.memory.readBytes(base, Number(size));
      const copy = this.#copies[i] as Buffer;
      if (copy.equals(bytes)) continue;
      const at = bytes.findIndex((byte, k) => byte !== copy[k]) & ~7;
      const address = base + BigInt(at);
      return `0x${address.toString(16)}: emulator 0x${this.memory.read64(address).toString(16)}, oracle 0x${copy.readBigUInt64LE(at).toString(16)}`;
    }
    return undefined;
  }

  /** The oracle's view. */
  readonly oracle: OracleMemory = {
    read: (address, bytes) => {
      const place = this.#find(address, bytes);
      if (!place) return undefined;
      return Array.from({ length: bytes / 8 }, (_, i) => place.bytes.readBigUInt64LE(place.at + 8 * i));
    },
    compareExchange: (address, expected, replacement) => {
      const place = this.#find(address, 8);
      if (!place) return undefined;
      const held = place.bytes.readBigUInt64LE(place.at);
      if (held === expected) place.bytes.writeBigUInt64LE(replacement, place.at);
      return held;
    },
  };

  #find(address: bigint, bytes: number): { bytes: Buffer; at: number } | undefined {
    for (let at = address; at < address + BigInt(bytes); at += 8n) if (this.#poisons.has(at)) return undefined;
    const i = REGIONS.findIndex(({ base, size }) => address >= base && address + BigInt(bytes) <= base + size);
    const region = REGIONS[i];
    return region ? { bytes: this.#copies[i] as Buffer, at: Number(address - region.base) } : undefined;
  }

  #store(address: bigint, word: bigint): void {
    this.memory.write64(address, word);
    const i = REGIONS.findIndex(({ base, size }) => address >= base && address < base + size);
    const region = REGIONS[i] as Region;
    (this.#copies[i] as Buffer).writeBigUInt64LE(word, Number(address - region.base));
  }
}
