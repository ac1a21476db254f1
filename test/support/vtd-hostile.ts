/**
 * A guest that does anything to a VT-d unit, and what must hold whatever it does.
 *
 * Translations are held against the oracle, over a copy of memory. Everything else the unit does to
 * memory (status writes, page requests, devices' data) is copied to the oracle's side afterwards.
 */
import { GCMD, REG } from "../../assembly/layout/vtd-registers.ts";
import { type VtdCachePolicy, VtdCapabilities, type VtdFeatures } from "../../src/index.ts";
import { ADDRESS_BITS } from "../../src/memory.ts";
import { type Snapshot, VtdUnit } from "../../src/vtd/index.ts";
import type { Choices } from "./choices.ts";
import type { VtdCase } from "./vtd-cases/case.ts";
import { addressOf, ROM } from "./vtd-cases/tables.ts";
import { OracleWorld, WalkerWorld } from "./vtd-cases/world.ts";
import { type OracleRequest, type OracleState, oracleTranslate } from "./vtd-oracle/index.ts";

/** A broken promise, in words; undefined: all is well. */
export type Complaint = string | undefined;

const QUEUE_PAGE = 8n;
const STATUS_PAGE = 20n;
const PAGE = 4096n;
const ALL_ONES = 0xffff_ffff_ffff_ffffn;
const CAUSES = 0x73n;

interface Saved {
  snapshot: Snapshot;
  rtaddr: bigint;
}

export class HostileGuest {
  readonly unit: VtdUnit;
  readonly #choices: Choices;
  readonly #cached: boolean;
  readonly #case: VtdCase;
  readonly #features: Readonly<VtdFeatures>;
  readonly #mine = new WalkerWorld();
  readonly #oracle = new OracleWorld();
  readonly #capabilities: VtdCapabilities;
  readonly #requests: OracleRequest[];
  /** RTADDR as the last SRTP took it. */
  #rtaddr = 0n;
  #saved: Saved | undefined;

  /** What changed since caches were last emptied: results may be stale. */
  #stale = true;

  /** @param caches with any, only results that follow a whole invalidation are held against the oracle */
  constructor(choices: Choices, vtdCase: VtdCase, caches: VtdCachePolicy = "none") {
    this.#cached = caches !== "none";
    this.#choices = choices;
    this.#case = vtdCase;
    const { sid, pasid } = vtdCase.requests[0] as OracleRequest;
    // Random tables share domains, which caches need not tell apart: one address space only.
    const alike = (request: OracleRequest) => request.sid === sid && request.pasid === pasid;
    this.#requests = vtdCase.requests.filter((request) => !this.#cached || alike(request));
    this.#capabilities = capabilitiesOf(choices, vtdCase.state, this.#cached);
    this.#features = this.#capabilities.features;
    this.#oracle.load(vtdCase);
    this.#mine.load(this.#oracle, vtdCase.poisoned);
    this.unit = new VtdUnit(this.#mine.memory, {
      capabilities: this.#capabilities,
      caches,
      queue: choices.pick(["immediate", "stepped"]),
      compressFaults: choices.chance(20),
    });
    for (const { sid } of vtdCase.requests) {
      if (choices.chance(50)) this.unit.device(sid).onInvalidate = () => choices.chance(70);
    }
  }

  /** A driver's set-up, so that requests get somewhere. */
  start(): void {
    const { mmio } = this.unit;
    mmio.write(REG.IQA, 8, (QUEUE_PAGE * PAGE) | (this.#choices.chance(70) ? 0x800n : 0n));
    mmio.write(REG.PQA, 8, (QUEUE_PAGE + 8n) * PAGE);
    this.#write(REG.RTADDR, 8, this.#case.state.rtaddr);
    const levels = (1n << BigInt(GCMD.TE & 63)) | (1n << BigInt(GCMD.QIE & 63));
    this.#write(
      REG.GCMD,
      4,
      (1n << BigInt(GCMD.SRTP & 63)) | levels | (this.#choices.bits(1) << BigInt(GCMD.IRE & 63)),
    );
  }

  /** Does one thing. */
  act(): Complaint {
    const choices = this.#choices;
    const request = choices.pick(this.#requests);
    if (choices.chance(this.#cached ? 80 : 45)) {
      if (this.#cached && this.#stale && choices.chance(40)) this.#flush();
      return this.#translate(request);
    }
    this.#stale = true;
    switch (choices.below(14)) {
      case 0:
      case 1:
        this.#write(this.#offset(), choices.pick([4, 8, 4, 8, 1, 2, 16, 3]), this.#value());
        break;
      case 2:
        return this.#readAnything();
      case 3:
      case 4:
      case 5:
        this.#submit();
        break;
      case 6:
        this.#scribble();
        break;
      case 7:
        this.#damage();
        break;
      case 8:
        this.unit.interrupt(
          request.sid,
          0xfee0_0000n | choices.bits(20),
          Number(choices.bits(choices.pick([4, 16, 32]))),
        );
        break;
      case 9:
        this.#requestPage(request);
        break;
      case 10:
        return this.#snapshot();
      case 11:
        this.#write(REG.GCMD, 4, choices.chance(60) ? choices.bits(8) << 24n : choices.bits(32));
        break;
      case 12:
        this.#rarely(request);
        break;
      default:
        this.#move(request);
    }
    this.#settle();
    return this.#invariants();
  }

  /** SRTP with CAP.ESRTPS = 1 drops all that is cached for DMA. */
  #flush(): void {
    const { mmio } = this.unit;
    mmio.write(REG.RTADDR, 8, this.#rtaddr);
    this.#write(REG.GCMD, 4, mmio.read(REG.GSTS, 4) | (1n << BigInt(GCMD.SRTP & 63)));
    this.#settle();
    this.#stale = false;
  }

  #translate(request: OracleRequest): Complaint {
    const { unit } = this;
    if (this.#cached && this.#stale) {
      unit.translate(request);
      this.#settle();
      return this.#invariants();
    }
    const gsts = unit.mmio.read(REG.GSTS, 4);
    const { cap, ecap } = this.#capabilities.effective;
    const state: OracleState = {
      ...this.#case.state,
      cap,
      ecap,
      rtaddr: this.#rtaddr,
      translationEnabled: gsts >> 31n === 1n,
      interruptRemapping: ((gsts >> 25n) & 1n) === 1n,
    };
    const expected = oracleTranslate(this.#oracle, state, request);
    const before = unit.mmio.read(REG.FSTS, 4);
    const got = unit.translate(request);
    const after = unit.mmio.read(REG.FSTS, 4);
    const what = () =>
      `${show(request)}: got ${show(got)}, expected ${show(expected)} (RTADDR ${this.#rtaddr.toString(16)})`;
    if (!got.ok && got.check === "PMR") return expected.ok ? undefined : `protected ${what()}`;
    if (got.ok !== expected.ok || got.answer !== expected.answer) return what();
    if (got.ok && expected.ok && got.address !== expected.address) return what();
    if (!got.ok && !expected.ok && (got.code !== expected.code || got.recorded !== expected.recorded)) return what();
    const records = !got.ok && got.recorded && !request.probe;
    if (records && !(after & 3n)) return `no record of ${what()}`;
    if (!records && before !== after) return `FSTS ${before} became ${after} without a fault: ${what()}`;
    const wrong = this.#mine.difference(this.#oracle);
    if (wrong)
      return `memory at ${wrong.address.toString(16)} is ${wrong.got.toString(16)}, expected ${wrong.expected.toString(16)} after ${what()}`;
    return this.#invariants();
  }

  #offset(): number {
    const { FRO, NFR, IRO } = this.#features;
    const known = Object.values(REG).filter((value) => typeof value === "number");
    const choices = this.#choices;
    if (choices.chance(60)) return choices.pick(known) + choices.pick([0, 0, 0, 4, 1, 2]);
    if (choices.chance(60)) return choices.pick([(FRO + choices.below(NFR + 1)) * 16 + 12, IRO * 16, IRO * 16 + 8]);
    return choices.pick([choices.below(this.unit.mmio.bytes), choices.below(0x10_0000), -8, 2 ** 40]);
  }

  #value(): bigint {
    const choices = this.#choices;
    return choices.pick([
      choices.bits(64),
      0n,
      ALL_ONES,
      choices.bits(16),
      choices.bits(7) << 12n,
      1n << choices.bits(6),
    ]);
  }

  #write(offset: number, bytes: number, value: bigint): void {
    const { mmio } = this.unit;
    const aligned = (bytes === 4 || bytes === 8) && offset % bytes === 0;
    const commands = aligned && offset === REG.GCMD;
    if (commands && (value >> BigInt(GCMD.SRTP & 63)) & 1n) this.#rtaddr = mmio.read(REG.RTADDR, 8);
    mmio.write(offset, bytes, value);
  }

  #readAnything(): Complaint {
    const { mmio } = this.unit;
    const offset = this.#offset();
    const whole = mmio.read(offset, 8);
    if (offset % 8 !== 0) return undefined;
    const halves = mmio.read(offset, 4) | (mmio.read(offset + 4, 4) << 32n);
    return whole === halves ? undefined : `register at ${offset.toString(16)} is ${whole}, in halves ${halves}`;
  }

  /** Descriptors at the tail, mostly legal ones, and the tail behind them. */
  #submit(): void {
    const choices = this.#choices;
    const { mmio } = this.unit;
    const old = mmio.read(REG.IQA, 8);
    // Not while the queue is in use, says the architecture.
    if (choices.chance(15)) this.#write(REG.IQA, 8, (old & ~0x807n) | choices.pick([0n, 1n, 0x800n, 0x801n, 0x807n]));
    const iqa = mmio.read(REG.IQA, 8);
    const bytes = (iqa >> 11n) & 1n ? 32 : 16;
    const size = 4096 * 2 ** Number(iqa & 7n);
    let tail = Number(mmio.read(REG.IQT, 8)) % size;
    for (let n = choices.below(4); n >= 0; n--) {
      const words = this.#descriptor();
      for (let i = 0; i < bytes / 8; i++) this.#poke(addressOf(iqa) + BigInt(tail + 8 * i), words[i] ?? 0n);
      tail = (tail + bytes) % size;
    }
    const pointer = choices.chance(90) ? BigInt(tail) : choices.bits(20);
    this.#write(REG.IQT, choices.pick([8, 8, 4]), pointer);
    for (let n = choices.below(8); n > 0; n--) this.unit.step();
    if (choices.chance(50)) this.#write(REG.FSTS, 4, choices.pick([0x10n, 0x40n, 0x70n, ALL_ONES & 0xffff_ffffn]));
  }

  #descriptor(): bigint[] {
    const choices = this.#choices;
    const { sid } = choices.pick(this.#requests);
    const source = BigInt(sid);
    const status = STATUS_PAGE * PAGE + choices.bits(9) * 4n;
    const g = choices.bits(2) << 4n;
    const plain = [
      [
        0x25n | (choices.bits(4) << 4n) | (choices.bits(32) << 32n),
        choices.chance(90) ? status : choices.bits(64) & ~3n,
      ],
      [0x1n | g | (choices.bits(16) << 16n) | (source << 32n)],
      [0x2n | g | (choices.bits(16) << 16n), choices.bits(6) | (choices.bits(20) << 12n)],
      [0x3n | (source << 32n), choices.bits(1) | (choices.bits(52) << 12n)],
      [0x4n | (choices.bits(1) << 4n) | (choices.bits(5) << 27n) | (choices.bits(16) << 32n)],
      [0x6n | g | (choices.bits(36) << 16n), choices.bits(6) | (choices.bits(52) << 12n)],
      [0x7n | g | (choices.bits(36) << 16n)],
      [0x8n | (source << 16n) | (choices.bits(20) << 32n), choices.bits(1) | (choices.bits(53) << 11n)],
      [0x9n | (choices.bits(4) << 12n) | (source << 16n), choices.bits(9) << 3n],
      [0x20an | g | (choices.bits(16) << 16n), choices.bits(52) << 12n],
      Array.from({ length: 4 }, () => choices.bits(64)),
    ];
    const words = [...(choices.pick(plain) as bigint[])];
    if (choices.chance(10)) words[choices.below(4)] = (words[0] as bigint) ^ (1n << choices.bits(6));
    return words.map((word) => BigInt.asUintN(64, word ?? 0n));
  }

  /** Any word anywhere in RAM, tables above all. */
  #scribble(): void {
    const choices = this.#choices;
    const written = [...this.#case.words.keys()];
    const address = choices.chance(60) ? choices.pick(written) : choices.bits(16) << 3n;
    const word =
      choices.pick([0n, choices.bits(64), this.#oracle.read(address, 1)?.[0] ?? 0n]) ^
      (choices.bits(1) << choices.bits(6));
    this.#poke(address, word);
  }

  #damage(): void {
    const choices = this.#choices;
    const { memory } = this.#mine;
    const entry = choices.pick([...this.#case.words.keys()]);
    // A link may lead out of the physical address space, where there is nothing to damage.
    const poisoned = choices.chance(50) && entry >> BigInt(ADDRESS_BITS) === 0n ? [entry] : [];
    memory.heal();
    this.#oracle.load({ ...this.#case, words: new Map(), poisoned });
    for (const address of poisoned) memory.poison(address);
  }

  #requestPage({ sid, pasid, address }: OracleRequest): void {
    const choices = this.#choices;
    const on = () => choices.chance(50);
    const asked = {
      sid,
      address,
      read: on(),
      write: on(),
      execute: on(),
      privileged: on(),
      last: on(),
      group: choices.below(512),
    };
    for (let n = choices.pick([0, 0, 0, 130]); n >= 0; n--)
      this.unit.requestPage(typeof pasid === "number" ? { ...asked, pasid } : asked);
    if (choices.chance(30)) this.#write(REG.PRS, 4, 3n);
  }

  /** Saves, or goes back to what was saved. */
  #snapshot(): Complaint {
    if (!this.#saved || this.#choices.chance(50)) {
      this.#saved = { snapshot: JSON.parse(JSON.stringify(this.unit.snapshot())), rtaddr: this.#rtaddr };
      return undefined;
    }
    const { snapshot, rtaddr } = this.#saved;
    this.unit.restore(snapshot);
    this.#rtaddr = rtaddr;
    const again = JSON.stringify(this.unit.snapshot());
    return again === JSON.stringify(snapshot) ? undefined : `snapshot became ${again}`;
  }

  #rarely({ sid }: OracleRequest): void {
    const choices = this.#choices;
    switch (choices.below(4)) {
      case 0:
        this.unit.reset(choices.pick(["warm", "cold"]));
        this.#rtaddr = 0n;
        if (choices.chance(80)) this.start();
        break;
      case 1:
        this.unit.describe();
        break;
      case 2:
        this.unit.unexpectedCompletion(sid);
        break;
      default:
        this.unit.removeDevice(sid);
    }
  }

  /** DMA with data, over pages. */
  #move({ sid, pasid, address }: OracleRequest): void {
    const choices = this.#choices;
    const device = this.unit.device(sid);
    const options = typeof pasid === "number" ? { pasid } : {};
    const bytes = choices.pick([0, 4, 8, 100, 5000]);
    const what = choices.below(4);
    if (what < 2) device.read(address, bytes, options);
    else if (what === 2) device.write(address, new Uint8Array(bytes).fill(choices.below(256)), options);
    else device.requestTranslation(address, options);
  }

  #poke(address: bigint, word: bigint): void {
    if (address >= ROM.base || !this.#mine.memory.contains(address, 8)) return;
    this.#mine.memory.write64(address, word);
  }

  /** Copies to the oracle what the unit and the guest did to memory. */
  #settle(): void {
    this.#mine.areas.forEach(({ bytes }, i) => {
      this.#oracle.areas[i]?.bytes.set(bytes);
    });
  }

  #invariants(): Complaint {
    const { mmio } = this.unit;
    const { FRO, NFR } = this.#features;
    const fsts = mmio.read(REG.FSTS, 4);
    const pending = Array.from({ length: NFR + 1 }, (_, i) => mmio.read((FRO + i) * 16 + 12, 4) >> 31n).includes(1n);
    if (pending !== (((fsts >> 1n) & 1n) === 1n)) return `PPF is ${(fsts >> 1n) & 1n}, records pending: ${pending}`;
    if ((mmio.read(REG.FECTL, 4) >> 30n) & 1n && !(fsts & CAUSES)) return "FECTL.IP without a cause";
    if (this.#features.QI && (mmio.read(REG.IECTL, 4) >> 30n) & 1n && !mmio.read(REG.ICS, 4))
      return "IECTL.IP without IWC";
    if (this.#features.PRS && (mmio.read(REG.PECTL, 4) >> 30n) & 1n && !mmio.read(REG.PRS, 4))
      return "PECTL.IP without PRS";
    return undefined;
  }
}

/** What the walk depends on is the case's; the rest is random. */
function capabilitiesOf(choices: Choices, { cap, ecap, version, haw }: OracleState, cached: boolean): VtdCapabilities {
  const records = BigInt(choices.pick([0, 0, 1, 7, 255]));
  let all = cap | (0x100n << 24n) | (records << 40n) | (choices.bits(1) << 39n) | (choices.bits(6) << 48n);
  all |= (choices.bits(2) << 5n) | (choices.bits(2) << 62n) | (cached ? 1n << 63n : 0n);
  const more =
    ecap | (0xfn << 8n) | (choices.bits(1) << 4n) | (0xfn << 20n) | (choices.bits(3) << 60n) | (choices.bits(1) << 42n);
  return VtdCapabilities.asFound({ ver: BigInt(version), cap: all, ecap: more }, haw);
}

function show(value: unknown): string {
  return JSON.stringify(value, (_, member) => (typeof member === "bigint" ? `0x${member.toString(16)}` : member));
}
