import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import {
  GUEST,
  MAX_POISONS,
  MAX_REGIONS,
  POISON_BYTES,
  REGION_BYTES,
  SLOT_BYTES,
  SLOTS,
  STATIC_DATA,
  UNIT,
} from "../assembly/layout/core.ts";
import { GuestMemory, type HostBacking } from "../src/index.ts";

const KIB = 1024n;
const GIB = 1n << 30n;

/** Host memory in a plain array, with a log of what the core asked. */
function hostBytes(base: bigint, bytes: number): HostBacking & { bytes: Uint8Array } {
  const store = new Uint8Array(bytes);
  return {
    bytes: store,
    read(address, into) {
      into.set(store.subarray(Number(address - base), Number(address - base) + into.length));
      return true;
    },
    write(address, from) {
      store.set(from, Number(address - base));
      return true;
    },
  };
}

describe("GuestMemory", () => {
  it("reads back 8, 16, 32 and 64 bits, little-endian, in linear and host-backed regions", () => {
    const host = hostBytes(4n * GIB, 8192);
    const memory = new GuestMemory({
      ram: [
        { base: 0n, size: 64n * KIB },
        { base: 4n * GIB, size: 8n * KIB, host },
      ],
    });
    for (const base of [0x1000n, 4n * GIB + 0x10n]) {
      memory.write64(base, 0x1122_3344_5566_7788n);
      expect(memory.read8(base)).toBe(0x88);
      expect(memory.read16(base + 1n)).toBe(0x6677);
      expect(memory.read32(base + 4n)).toBe(0x1122_3344);
      memory.write32(base, 0xdead_beef);
      memory.write16(base + 4n, 0xcafe);
      memory.write8(base + 7n, 0x42);
      expect(memory.read64(base)).toBe(0x4222_cafe_dead_beefn);
    }
    expect([...host.bytes.subarray(0x10, 0x14)]).toEqual([0xef, 0xbe, 0xad, 0xde]);
  });

  it("crosses regions that touch, and refuses to cross a hole", () => {
    const memory = new GuestMemory({
      ram: [
        { base: 0x2000n, size: 4096n, host: hostBytes(0x2000n, 4096) },
        { base: 0x1000n, size: 4096n },
        { base: 0x8000n, size: 4096n },
      ],
    });
    memory.writeBytes(0x1ffen, Uint8Array.of(1, 2, 3, 4));
    expect([...memory.readBytes(0x1ffen, 4)]).toEqual([1, 2, 3, 4]);
    expect(memory.read32(0x1ffen)).toBe(0x0403_0201);
    expect(() => memory.read64(0x2ffcn)).toThrow(/address: 8 bytes at 0x2ffc are not all RAM/);
    expect(memory.contains(0x2ff8n, 8)).toBe(true);
    expect(memory.contains(0x2ff9n, 8)).toBe(false);
  });

  it("takes 52-bit addresses and names what is wrong with a region", () => {
    const top = (1n << 52n) - 4096n;
    const memory = new GuestMemory({ ram: [{ base: top, size: 4096n }] });
    memory.write64(top + 4088n, 7n);
    expect(memory.read64(top + 4088n)).toBe(7n);
    const make = (base: bigint, size: bigint) => () =>
      new GuestMemory({
        ram: [
          { base: 0x5000n, size: 0x2000n },
          { base, size },
        ],
      });
    expect(make(1n << 52n, 4096n)).toThrow(/ram\[1\]\.base: 0x10000000000000 is not in 0x0\.\.0xffffffffff000/);
    expect(make(0x6000n, 4096n)).toThrow(/ram: 0x6000\+0x1000 overlaps 0x5000\+0x2000/);
    expect(make(0x9000n, 100n)).toThrow(RangeError);
    expect(make(0x9100n, 4096n)).toThrow(/not whole 4 KiB pages/);
    expect(() => new GuestMemory({ ram: [] })).toThrow(/ram\.length/);
    expect(() => new GuestMemory({ ram: [{ base: 0n, size: 8n * GIB }] })).toThrow(/exceed 4 GiB/);
    expect(() => memory.read64(5 as unknown as bigint)).toThrow(/address: 5 is not a bigint/);
    expect(() => memory.write8(top, 256)).toThrow(/value: 256 is not a whole number in 0\.\.255/);
  });

  it("serves the Wasm side the same bytes, and poison makes them bus errors there only", () => {
    const memory = new GuestMemory({
      ram: [
        { base: 0n, size: 64n * KIB },
        { base: 1n << 40n, size: 64n * KIB },
        { base: 1n << 44n, size: 8n * KIB, host: hostBytes(1n << 44n, 8192) },
      ],
    });
    const buffer = memory.core.allocate(16);
    const { copyFromGuest, copyToGuest } = memory.core.exports;
    for (const at of [0xfff0n, (1n << 40n) + 8n, (1n << 44n) + 4090n]) {
      memory.write64(at, 0x0102_0304_0506_0708n);
      expect(copyFromGuest(buffer, at, 8)).toBe(1);
      expect(memory.core.view.getBigUint64(buffer, true)).toBe(0x0102_0304_0506_0708n);
      memory.poison(at + 4n, 1);
      expect(copyFromGuest(buffer, at, 8)).toBe(0);
      expect(copyFromGuest(buffer, at + 8n, 4), "beside the poison").toBe(1);
      expect(memory.read64(at)).toBe(0x0102_0304_0506_0708n);
      memory.heal(at + 4n);
      expect(copyToGuest(at, buffer, 8)).toBe(1);
    }
    expect(copyFromGuest(buffer, 0xfff8n, 16)).toBe(0);
    expect(copyFromGuest(buffer, 0x20000n, 4)).toBe(0);
  });

  it("keeps the memory map below asc's static data, and a unit's slots before the vendor's part", () => {
    const { options } = JSON.parse(readFileSync(new URL("../asconfig.json", import.meta.url), "utf8"));
    expect(options.memoryBase).toBe(STATIC_DATA);
    expect(GUEST.REGION_TABLE + MAX_REGIONS * REGION_BYTES).toBeLessThanOrEqual(GUEST.POISON_TABLE);
    expect(GUEST.POISON_TABLE + MAX_POISONS * POISON_BYTES).toBeLessThanOrEqual(STATIC_DATA);
    expect(UNIT.SLOT0 + SLOTS * SLOT_BYTES).toBe(UNIT.VENDOR);
  });

  it("refuses more poison than it has room for", () => {
    const memory = new GuestMemory({ ram: [{ base: 0n, size: 64n * KIB }] });
    for (let i = 0; i < 64; i++) memory.poison(BigInt(i) * 8n);
    expect(() => memory.poison(0n)).toThrow(/poison: 64 ranges/);
    memory.heal();
    memory.poison(0n);
  });
});
