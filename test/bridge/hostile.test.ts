/**
 * Guests that do anything: random commands to all functions over random memory. Nothing throws, every command is
 * answered once, and memory that the client has not mapped stays as it is.
 */
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { Bridge, type BridgeOptions } from "../../src/bridge/bridge.ts";
import { Session } from "../../src/bridge/session.ts";
import { SMMU, VTD } from "../support/bridge-rig.ts";
import { runs, seed } from "../support/runs.ts";
import { CMD, message, pack, version } from "../support/vfio-client.ts";

const MIB = 1024 * 1024;
/** The client maps the first half of the file. */
const FILE_BYTES = 2 * MIB;
const MAPPED = MIB;
const CONFIG = 7;
const NO_REPLY = 0x10;

class Machine {
  readonly file = Buffer.alloc(FILE_BYTES);
  readonly bridge: Bridge;
  readonly sessions: Session[];
  /** Commands that want a reply, and replies, by session; and why one was closed. */
  readonly asked: number[];
  readonly replies: number[];
  readonly closed: string[] = [];
  readonly #base: bigint;

  constructor(unit: BridgeOptions["unit"], caches: NonNullable<BridgeOptions["caches"]>) {
    this.file.fill(0xa5, MAPPED);
    this.#base = unit.vendor === "vtd" ? 0n : 0x4000_0000n;
    const { file } = this;
    this.bridge = new Bridge({
      unit,
      caches,
      devices: 2,
      ram: {
        read(at, into) {
          if (Number(at) + into.length > file.length) return false;
          into.set(file.subarray(Number(at), Number(at) + into.length));
          return true;
        },
        write(at, from) {
          if (Number(at) + from.length > file.length) return false;
          file.set(from, Number(at));
          return true;
        },
      },
    });
    this.asked = this.bridge.functions.map(() => 0);
    this.replies = this.bridge.functions.map(() => 0);
    this.sessions = this.bridge.functions.map((target, i) => {
      const session = new Session(target, {
        send: (bytes) => {
          // Replies only: interrupts may come at any time.
          if (bytes[8] === 1 || bytes[8] === 0x21) this.replies[i] = (this.replies[i] ?? 0) + 1;
          return true;
        },
        close: (why) => this.closed.push(why),
      });
      session.receive(message(0, CMD.VERSION, version()));
      session.receive(message(0, CMD.DMA_MAP, pack(32, 3, 0n, this.#base, BigInt(MAPPED))));
      return session;
    });
    this.replies.fill(0);
  }

  command(function_: number, command: number, payload: Uint8Array, flags = 0): void {
    if (flags === 0) this.asked[function_] = (this.asked[function_] ?? 0) + 1;
    this.sessions[function_]?.receive(message(1, command, payload, flags));
  }

  write(function_: number, region: number, offset: number, data: Uint8Array): void {
    this.command(function_, CMD.REGION_WRITE, Buffer.concat([pack(BigInt(offset), region, data.length), data]));
  }

  /** An address of RAM that is mapped, or just not. */
  address(page: number): bigint {
    return this.#base + BigInt(page) * 0x1000n;
  }
}

type Step = (machine: Machine) => void;

/** Words as tables, pointers and registers have them: an address of RAM and some flags. */
const word = fc.oneof(
  fc.tuple(fc.nat({ max: 300 }), fc.nat({ max: 0xfff })).map(([page, flags]) => ({ page, flags })),
  fc.bigInt({ min: 0n, max: 2n ** 64n - 1n }).map((value) => ({ value })),
);
type Word = { page: number; flags: number } | { value: bigint };
const resolve = (machine: Machine, given: Word) =>
  "value" in given ? given.value : machine.address(given.page) | BigInt(given.flags);

const step: fc.Arbitrary<Step> = fc.oneof(
  {
    weight: 4,
    arbitrary: fc.tuple(fc.nat({ max: 0x200 }), word).map(
      ([register, given]): Step =>
        (machine) =>
          machine.write(0, 0, (register % 0x200) * 8, pack(resolve(machine, given))),
    ),
  },
  {
    weight: 4,
    arbitrary: fc.tuple(fc.nat({ max: 0x100 }), fc.nat()).map(
      ([register, value]): Step =>
        (machine) =>
          machine.write(0, 0, register * 4, pack(value >>> 0)),
    ),
  },
  {
    weight: 4,
    arbitrary: fc.tuple(fc.nat({ max: MAPPED / 8 - 1 }), fc.array(word, { maxLength: 8 })).map(
      ([at, words]): Step =>
        (machine) =>
          words.forEach((given, i) => {
            if (at * 8 + i * 8 + 8 <= MAPPED) machine.file.writeBigUInt64LE(resolve(machine, given), at * 8 + i * 8);
          }),
    ),
  },
  {
    weight: 6,
    arbitrary: fc
      .tuple(fc.constantFrom(1, 2), fc.nat({ max: 0xff }), word, fc.nat({ max: 0x3000 }), fc.nat({ max: 70 }))
      .map(
        ([which, command, given, length, pasid]): Step =>
          (machine) => {
            machine.write(which, 0, 0x10, pack(resolve(machine, given)));
            machine.write(which, 0, 0x18, pack(length));
            machine.write(which, 0, 0x20, pack(pasid));
            machine.write(which, 0, 0x8, pack(command | 1));
          },
      ),
  },
  {
    weight: 3,
    arbitrary: fc
      .tuple(
        fc.nat({ max: 2 }),
        fc.constantFrom(4, 0x10, 0x48, 0x82, 0x84, 0x8c, 0x90, 0x106, 0x114, 0x116, 0x11c, 0x126),
        fc.nat(),
      )
      .map(
        ([which, offset, value]): Step =>
          (machine) =>
            machine.write(which, CONFIG, offset, pack(value >>> 0)),
      ),
  },
  {
    weight: 2,
    arbitrary: fc.tuple(fc.nat({ max: 2 }), fc.nat({ max: 20 }), fc.uint8Array({ maxLength: 48 })).map(
      ([which, command, payload]): Step =>
        (machine) => {
          // Unmapping or mapping more is the client's right, and not what is tested here.
          if (![CMD.DMA_MAP, CMD.DMA_UNMAP].some((kept) => kept === command)) machine.command(which, command, payload);
        },
    ),
  },
);

/** What a system does before anything interesting can happen. */
function enable(machine: Machine): void {
  for (const which of [1, 2]) {
    machine.write(which, CONFIG, 4, pack(6).subarray(0, 2));
    machine.write(which, CONFIG, 0x126, pack(5).subarray(0, 2));
    machine.write(which, CONFIG, 0x11c, pack(1));
    machine.write(which, CONFIG, 0x114, pack(1).subarray(0, 2));
    machine.write(which, CONFIG, 0x106, pack(0x8000).subarray(0, 2));
    machine.write(which, CONFIG, 0x84, pack(0xfee0_0000));
    machine.write(which, CONFIG, 0x82, pack(1).subarray(0, 2));
  }
}

describe.each([
  ["VT-d", VTD],
  ["SMMUv3", SMMU],
] as const)("hostile guests of %s", (_, unit) => {
  it("get an answer to every command, and nothing that is not theirs", () => {
    fc.assert(
      fc.property(
        fc.array(step, { minLength: 1, maxLength: 80 }),
        fc.constantFrom("none", "retain"),
        (steps, caches) => {
          const machine = new Machine(unit, caches as "none" | "retain");
          enable(machine);
          for (const take of steps) take(machine);
          machine.command(0, CMD.GET_INFO, pack(16, 0, 0, 0), NO_REPLY);
          for (const [i] of machine.sessions.entries()) machine.command(i, CMD.RESET, Buffer.alloc(0));
          expect(machine.closed).toEqual([]);
          expect(machine.replies).toEqual(machine.asked);
          expect(machine.file.subarray(MAPPED).every((byte) => byte === 0xa5)).toBe(true);
          for (const session of machine.sessions) session.disconnect();
          expect(machine.bridge.memory.contains(machine.address(0))).toBe(false);
        },
      ),
      { numRuns: runs(30, 2000), seed },
    );
  });
});
