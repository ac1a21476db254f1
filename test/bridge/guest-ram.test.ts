/** Where a client's memory is in the file, and what may be done to it. */
import { describe, expect, it } from "vitest";
import { DmaMap } from "../../src/bridge/dma-map.ts";
import { GuestRam } from "../../src/bridge/guest-ram.ts";

const BASE = 0x4000_0000n;

/** RAM of two pages at BASE, a read-only and a write-only page after it, and flash without a file at 0. */
function guest() {
  const file = Buffer.alloc(0x4000, 0x11);
  const ram = new GuestRam(
    {
      read(at, into) {
        into.set(file.subarray(Number(at), Number(at) + into.length));
        return true;
      },
      write(at, from) {
        file.set(from, Number(at));
        return true;
      },
    },
    BASE,
  );
  const map = new DmaMap();
  map.map({ address: 0n, size: 0x1000n, offset: 0n, readable: true, writeable: true });
  map.map({ address: BASE, size: 0x2000n, offset: 0n, readable: true, writeable: true });
  map.map({ address: BASE + 0x2000n, size: 0x1000n, offset: 0x2000n, readable: true, writeable: false });
  map.map({ address: BASE + 0x3000n, size: 0x1000n, offset: 0x3000n, readable: false, writeable: true });
  ram.useMap(map);
  return { file, ram };
}

const word = () => new Uint8Array([1, 2, 3, 4]);

describe("guest RAM in a file", () => {
  it("memory at offset 0 elsewhere than RAM starts lies in no file: a bus error", () => {
    const { file, ram } = guest();
    expect([ram.holds(0n, 4), ram.read(0n, word()), ram.write(0n, word())]).toEqual([false, false, false]);
    expect([ram.holds(BASE, 4), ram.write(BASE, word())]).toEqual([true, true]);
    expect(file.subarray(0, 5)).toEqual(Buffer.from([1, 2, 3, 4, 0x11]));
  });

  it("read-only and write-only regions are just that, also for messages", () => {
    const { file, ram } = guest();
    const sent: bigint[] = [];
    expect([ram.read(BASE + 0x2000n, word()), ram.write(BASE + 0x2000n, word())]).toEqual([true, false]);
    expect([ram.read(BASE + 0x3000n, word()), ram.write(BASE + 0x3000n, word())]).toEqual([false, true]);
    ram.withMessages(
      (address) => sent.push(address),
      () => {
        expect(ram.write(BASE + 0x2000n, word())).toBe(false);
        expect(ram.write(0x802_0040n, word())).toBe(true);
      },
    );
    expect(ram.write(0x802_0040n, word())).toBe(false);
    expect(sent).toEqual([0x802_0040n]);
    expect(file.subarray(0x2000, 0x3000).every((byte) => byte === 0x11)).toBe(true);
  });

  it("an access across the end of a region is a bus error", () => {
    const { ram } = guest();
    expect([ram.holds(BASE + 0x1ffcn, 4), ram.holds(BASE + 0x1ffdn, 4)]).toEqual([true, false]);
  });
});
