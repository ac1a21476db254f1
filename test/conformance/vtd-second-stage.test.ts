import { describe, expect, it } from "vitest";
import { GuestMemory } from "../../src/index.ts";
import { VtdUnit } from "../../src/vtd/index.ts";
import { features, HOLE, Rig, SID } from "../support/vtd-rig.ts";

/** SSADE in a PASID entry's first word; SRE in its third. */
const SSADE = 0x200n;
/** Bits of a second-stage entry. */
const A = 0x100n;
const D = 0x200n;
const FIRST_A = 0x20n;
const FIRST_D = 0x40n;

describe("Second-stage translation in scalable mode, VT-d 5.10 3.7", () => {
  it("VTD-053 unreachable 7Bh and 78h, no rights 79h, reserved 7Ah, range 84h, write 85h, read 86h", () => {
    const rig = new Rig({ ZLR: 0 });
    const { ss, pasidEntry } = rig.scalable({ pgtt: 2n });
    rig.mapSecond(ss, 4, 0x1000n, 0x5003n);
    rig.mapSecond(ss, 4, 0x2000n, 0x6001n);
    rig.mapSecond(ss, 4, 0x3000n, 0x7002n);
    rig.mapSecond(ss, 4, 0x4000n, 0x4000_0000_0000_8003n);
    expect(rig.read(0x1000n)).toBe("ok 5000");
    expect(rig.write(0x2000n)).toBe("UR 85");
    expect(rig.read(0x3000n)).toBe("UR 86");
    expect(rig.read(0x3000n, { zeroLength: true })).toBe("UR 86");
    expect(rig.read(0x4000n)).toBe("UR 7a");
    expect(rig.read(0x5000n)).toBe("UR 79");
    expect(rig.read(1n << 48n)).toBe("UR 84");
    rig.put(rig.path(ss, 4, 0x1000n)[2] as bigint, HOLE | 3n);
    expect(rig.read(0x1000n)).toBe("UR 78");
    rig.put(pasidEntry, HOLE | 0x89n);
    expect(rig.read(0x1000n)).toBe("UR 7b");
  });

  it("VTD-053 rights are those of the whole path: read above and write below is 79h", () => {
    const rig = new Rig();
    const { ss } = rig.scalable({ pgtt: 2n });
    rig.mapSecond(ss, 4, 0x1000n, 0x5002n, 1, 1n);
    expect(rig.read(0x1000n)).toBe("UR 79");
    rig.mapSecond(ss, 4, 1n << 39n, 0x6003n, 1, 1n);
    expect(rig.read(1n << 39n)).toBe("ok 6000");
    expect(rig.write(1n << 39n)).toBe("UR 85");
  });

  it("VTD-053 with SSIRWE the rights are bits 61 and 62", () => {
    const rig = new Rig();
    const { ss } = rig.scalable({ pgtt: 2n, rtaddr: 0x480n });
    const io = 3n << 61n;
    rig.mapSecond(ss, 4, 0x1000n, 0x5000n | io, 1, io);
    rig.mapSecond(ss, 4, 0x2000n, 0x6003n, 1, io);
    rig.mapSecond(ss, 4, 0x3000n, 0x7003n | (1n << 61n), 1, io);
    expect(rig.write(0x1000n)).toBe("ok 5000");
    expect(rig.read(0x2000n)).toBe("UR 79");
    expect(rig.read(0x3000n)).toBe("ok 7000");
    expect(rig.write(0x3000n)).toBe("UR 85");
  });

  it.each([SSADE, 0n])("VTD-054 SSADE = %i: A at all levels and D in the leaf by writes, or neither", (ssade) => {
    const rig = new Rig();
    const { ss } = rig.scalable({ pgtt: 2n, words: [ssade] });
    rig.mapSecond(ss, 4, 0x1000n, 0x5003n);
    const flags = () => rig.path(ss, 4, 0x1000n).map((entry) => rig.get(entry) & (A | D));
    expect(rig.read(0x1000n)).toBe("ok 5000");
    expect(flags()).toEqual(ssade ? [A, A, A, A] : [0n, 0n, 0n, 0n]);
    expect(rig.write(0x1000n)).toBe("ok 5000");
    expect(flags()).toEqual(ssade ? [A, A, A, A | D] : [0n, 0n, 0n, 0n]);
  });

  it("VTD-055 an update owed while the walk is not snooped is 7Ch; without SSADE none is owed", () => {
    for (const ssade of [SSADE, 0n]) {
      const rig = new Rig();
      const { ss, pasidEntry } = rig.scalable({ pgtt: 2n, words: [ssade] });
      rig.flipBit(pasidEntry, 87);
      rig.mapSecond(ss, 4, 0x1000n, 0x5103n, 1, 0x103n);
      rig.mapSecond(ss, 4, 0x2000n, 0x6003n);
      expect(rig.read(0x1000n)).toBe("ok 5000");
      expect(rig.write(0x1000n)).toBe(ssade ? "UR 7c" : "ok 5000");
      expect(rig.read(0x2000n)).toBe(ssade ? "UR 7c" : "ok 6000");
    }
  });
});

describe("Accessed and dirty updates, VT-d 5.10 3.6.2", () => {
  it("VTD-052 what a processor changes between fetch and update is neither lost nor overwritten", () => {
    // Page tables in host memory, so that the test can slip in between the read and the update of an entry.
    const tables = new Map<bigint, bigint>();
    let race: ((address: bigint) => void) | undefined;
    const base = 0x100_0000n;
    const memory = new GuestMemory({
      ram: [
        { base: 0n, size: 0x10_0000n },
        {
          base,
          size: 0x1_0000n,
          host: {
            read: (address, into) => {
              const words = new BigUint64Array(into.length / 8).map(
                (_, i) => tables.get(address + BigInt(8 * i)) ?? 0n,
              );
              into.set(new Uint8Array(words.buffer));
              return true;
            },
            write: () => false,
            compareExchange: (address, expected, replacement) => {
              const slip = race;
              race = undefined;
              slip?.(address);
              const was = tables.get(address) ?? 0n;
              if (was === expected) tables.set(address, replacement);
              return was;
            },
          },
        },
      ],
      workspace: 8 << 20,
    });
    memory.write64(0x1000n, 0x2001n); // root, bus 0
    memory.write64(0x2000n + 32n * BigInt(SID), 0x3001n); // context
    memory.write64(0x3000n, 0x4001n); // PASID directory
    memory.write64(0x4000n, 0x41n);
    memory.write64(0x4008n, 0x80_0001n);
    memory.write64(0x4010n, base);
    tables.set(base, base + 0x1027n);
    tables.set(base + 0x1000n, base + 0x2027n);
    tables.set(base + 0x2000n, base + 0x3027n);
    const leaf = base + 0x3008n;
    tables.set(leaf, 0x5007n);
    const unit = new VtdUnit(memory, { capabilities: features() });
    unit.mmio.write(0x20, 8, 0x1400n);
    unit.mmio.write(0x18, 4, 0x4000_0000n);
    unit.mmio.write(0x18, 4, 0x8000_0000n);

    // The processor moves the page: the request must see the new one, whole.
    race = (address) => tables.set(address, 0x9007n | (1n << 60n));
    expect(unit.translate({ sid: SID, address: 0x1000n, access: "w" })).toMatchObject({ ok: true, address: 0x9000n });
    expect(tables.get(leaf)).toBe(0x9067n | (1n << 60n));

    // The processor unmaps it: the request must fail and not write the old entry back.
    tables.set(leaf, 0x5007n);
    unit.mmio.write(0x18, 4, 0n); // drops what is cached
    unit.mmio.write(0x18, 4, 0x8000_0000n);
    race = (address) => tables.set(address, 0n);
    expect(unit.translate({ sid: SID, address: 0x1000n, access: "w" })).toMatchObject({ ok: false, code: 0x71 });
    expect(tables.get(leaf)).toBe(0n);
  });
});

describe("Nested translation, VT-d 5.10 3.8", () => {
  /** Guest physical addresses are far from where their pages lie. */
  const GUEST = 0x1_0000_0000n;

  function nested(rig: Rig, words: readonly bigint[] = [0n, 0n, 0n], aw = 2n) {
    const setup = rig.scalable({ pgtt: 3n, words, aw });
    const { ss, pasidEntry } = setup;
    const hosts = [rig.page(), rig.page(), rig.page(), rig.page()] as const;
    const guests = [0n, 1n, 2n, 3n].map((i) => GUEST + 0x1000n * i) as [bigint, bigint, bigint, bigint];
    hosts.forEach((host, i) => {
      rig.mapSecond(ss, 4, guests[i] as bigint, host | 3n);
    });
    rig.put(pasidEntry + 16n, guests[0] | (rig.get(pasidEntry + 16n) & 0xfffn));
    const [l4, l3, l2, l1] = hosts;
    rig.put(l4, guests[1] | 7n);
    rig.put(l3, guests[2] | 7n);
    rig.put(l2, guests[3] | 7n);
    // Input 0x1000 is guest page 0x2_0000_0000, which is host page 0x5000.
    rig.put(l1 + 8n, 0x2_0000_0007n);
    rig.mapSecond(ss, 4, 0x2_0000_0000n, 0x5003n);
    const second = (guest: bigint) => rig.path(ss, 4, guest)[3] as bigint;
    return { ...setup, guests, entries: [l4, l3, l2, l1 + 8n] as const, second };
  }

  it("VTD-056 tables are found through the second stage; the output is SS(FS(input))", () => {
    const rig = new Rig();
    const { entries } = nested(rig);
    expect(rig.read(0x1abcn)).toBe("ok 5abc");
    expect(rig.write(0x1abcn)).toBe("ok 5abc");
    expect(entries.map((entry) => rig.get(entry) & (FIRST_A | FIRST_D))).toEqual([
      FIRST_A,
      FIRST_A,
      FIRST_A,
      FIRST_A | FIRST_D,
    ]);
  });

  it("VTD-057 no read right for the root table 75h, for a lower one 76h", () => {
    const rig = new Rig();
    const { guests, second } = nested(rig);
    for (const [i, expected] of ["UR 75", "UR 76", "UR 76", "UR 76"].entries()) {
      const entry = second(guests[i] as bigint);
      rig.flip(entry, 1n);
      expect(rig.read(0x1000n)).toBe(expected);
      rig.flip(entry, 1n);
    }
    expect(rig.read(0x1000n)).toBe("ok 5000");
  });

  it("VTD-057 an accessed bit owed in a table that may not be written 77h", () => {
    const rig = new Rig();
    const { guests, second, entries } = nested(rig);
    const entry = second(guests[2]);
    rig.flip(entry, 2n);
    expect(rig.read(0x1000n)).toBe("UR 77");
    rig.put(entries[2], rig.get(entries[2]) | FIRST_A);
    expect(rig.read(0x1000n)).toBe("ok 5000");
  });

  it("VTD-058 an entry that points beyond the second stage's input is 74h, FSPTPTR 5Bh", () => {
    const rig = new Rig();
    const { entries, pasidEntry } = nested(rig);
    for (const entry of entries) {
      const was = rig.get(entry);
      rig.put(entry, was | (1n << 48n));
      expect(rig.read(0x1000n)).toBe("UR 74");
      rig.put(entry, was);
    }
    const root = rig.get(pasidEntry + 16n);
    // SAGAW's narrowest width keeps FSPTPTR below 2^39, within a host of 46 bits.
    rig.put(pasidEntry, (rig.get(pasidEntry) & ~0x1cn) | 4n);
    rig.put(pasidEntry + 16n, root | (1n << 39n));
    expect(rig.read(0x1000n)).toBe("UR 5b");
  });

  it("VTD-059 a write needs the right of both stages", () => {
    const rig = new Rig();
    const { entries, second } = nested(rig);
    const leaf = second(0x2_0000_0000n);
    rig.flip(leaf, 2n);
    expect(rig.read(0x1000n)).toBe("ok 5000");
    expect(rig.write(0x1000n)).toBe("UR 85");
    rig.flip(leaf, 2n);
    rig.flip(entries[3], 2n);
    expect(rig.read(0x1000n)).toBe("ok 5000");
    expect(rig.write(0x1000n)).toBe("UR 85");
    rig.flip(leaf, 1n);
    rig.flip(entries[3], 2n);
    expect(rig.read(0x1000n)).toBe("UR 86");
    rig.flip(leaf, 2n);
    expect(rig.read(0x1000n)).toBe("UR 79");
  });

  it("VTD-060 second-stage faults on the way to a first-stage table keep their codes", () => {
    const rig = new Rig();
    const { guests, ss, second, pasidEntry } = nested(rig);
    const entry = second(guests[1]);
    const was = rig.get(entry);
    rig.put(entry, was | (1n << 62n));
    expect(rig.read(0x1000n)).toBe("UR 7a");
    rig.put(entry, 0n);
    expect(rig.read(0x1000n)).toBe("UR 79");
    rig.put(entry, was);
    const table = rig.path(ss, 4, guests[1])[2] as bigint;
    const link = rig.get(table);
    rig.put(table, HOLE | 3n);
    expect(rig.read(0x1000n)).toBe("UR 78");
    rig.put(table, link);
    rig.put(pasidEntry, (rig.get(pasidEntry) & 0xfffn) | HOLE);
    expect(rig.read(0x1000n)).toBe("UR 7b");
  });

  it("VTD-054 with SSADE the second stage marks what both kinds of accesses used", () => {
    const rig = new Rig();
    const { guests, second } = nested(rig, [SSADE]);
    expect(rig.read(0x1000n)).toBe("ok 5000");
    for (const guest of guests) expect(rig.get(second(guest)) & (A | D)).toBe(A | D);
    expect(rig.get(second(0x2_0000_0000n)) & (A | D)).toBe(A);
    expect(rig.write(0x1000n)).toBe("ok 5000");
    expect(rig.get(second(0x2_0000_0000n)) & (A | D)).toBe(A | D);
  });
});

describe("Pass-through, VT-d 5.10 3.9", () => {
  it("VTD-061 output = input, 83h from 2^HAW on", () => {
    const rig = new Rig();
    rig.scalable({ pgtt: 4n });
    expect(rig.write(0x3fff_ffff_fffcn)).toBe("ok 3ffffffffffc");
    expect(rig.read(1n << 46n)).toBe("UR 83");
    expect(rig.read(1n << 63n)).toBe("UR 83");
  });
});
