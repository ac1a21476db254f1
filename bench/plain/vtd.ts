/**
 * The VT-d first-stage walk in plain TypeScript, as good as it gets without Wasm: 32-bit halves in a
 * Uint32Array, addresses as doubles (guest RAM lies below 2^53), no BigInt and no garbage. Makes the
 * checks of `bench/native/vtd.c` for the path it serves; a yardstick, not a product.
 */

export interface PlainVtdState {
  capLow: number;
  capHigh: number;
  ecapLow: number;
  ecapHigh: number;
  rootTable: number;
  haw: number;
}

const HIGH = 2 ** 32;

export class PlainVtd {
  readonly #ram: Uint32Array;
  readonly #bytes: number;
  readonly #root: number;
  /** Bits of a high half above the host address width. */
  readonly #above: number;
  readonly #contextLow: number;
  readonly #contextPasid: number;
  readonly #entry: Uint32Array;
  readonly #pssLimit: number;
  readonly #fs5: boolean;
  readonly #fs1g: boolean;
  readonly #rps: boolean;
  readonly #snoops: boolean;
  /** Output address and leaf size of the last walk. */
  address = 0;
  pageShift = 0;
  permissions = 0;

  constructor(ram: Uint32Array, state: PlainVtdState) {
    this.#ram = ram;
    this.#bytes = ram.length * 4;
    this.#root = state.rootTable;
    this.#above = state.haw >= 64 ? 0 : (0xffff_ffff << (state.haw - 32)) >>> 0;
    const has = (word: number, bit: number) => ((word >>> bit) & 1) !== 0;
    const ecap = (bit: number) => (bit < 32 ? has(state.ecapLow, bit) : has(state.ecapHigh, bit - 32));
    this.#rps = ecap(49);
    this.#snoops = ecap(48);
    this.#contextLow =
      0x180 | (ecap(2) ? 0 : 4) | (ecap(40) ? 0 : 8) | (ecap(29) ? 0 : 16) | (ecap(55) ? 0 : 32) | (ecap(56) ? 0 : 64);
    this.#contextPasid = (0xffe0_0000 | (this.#rps ? 0 : 0xf_ffff) | (ecap(53) ? 0 : 1 << 20)) >>> 0;
    const nd = 4 + 2 * (state.capLow & 7);
    const reserved = new Uint32Array(16).fill(0xffff_ffff);
    reserved[0] = 0xc20 | (ecap(46) && ecap(45) ? 0 : 0x200);
    reserved[1] = this.#above;
    reserved[2] =
      (0xffff & (0xffff << nd)) |
      0x7f_0000 |
      0xf800_0000 |
      (this.#snoops ? 0 : 1 << 23) |
      (ecap(7) ? 0 : 1 << 24) |
      (ecap(25) ? 0 : 3 << 25);
    reserved[3] = ecap(25) ? 0x8888_8888 : 0xffff_ffff;
    reserved[4] = 0xf02 | (ecap(31) ? 0 : 1) | (ecap(34) ? 0 : 0x80);
    reserved[5] = this.#above;
    this.#entry = reserved;
    this.#pssLimit = 2 << ((state.ecapHigh >>> 3) & 31);
    this.#fs5 = has(state.capHigh, 28);
    this.#fs1g = has(state.capHigh, 24);
  }

  /** @returns the fault reason, 0 = translated */
  walk(sid: number, pasid: number, low: number, high: number, flags: number): number {
    const ram = this.#ram;
    const devfn = sid & 255;
    let at = this.#root + (sid >>> 8) * 16 + (devfn >>> 7) * 8;
    if (at >= this.#bytes) return 0x38;
    let word = ram[at >>> 2] as number;
    let wordHigh = ram[(at >>> 2) + 1] as number;
    if (!(word & 1)) return 0x39;
    if (word & 0xffe || wordHigh & this.#above) return 0x3a;
    at = wordHigh * HIGH + (word & 0xffff_f000) * 1 + (devfn & 127) * 32;
    if (at < 0) at += HIGH;
    if (at >= this.#bytes) return 0x40;
    const context = at / 4;
    const contextLow = ram[context] as number;
    const contextPasid = ram[context + 2] as number;
    wordHigh = ram[context + 1] as number;
    if (!(contextLow & 1)) return 0x41;
    if (contextLow & this.#contextLow || wordHigh & this.#above || contextPasid & this.#contextPasid) return 0x42;
    if ((ram[context + 3] as number) | (ram[context + 4] as number) | (ram[context + 5] as number)) return 0x42;
    if ((ram[context + 6] as number) | (ram[context + 7] as number)) return 0x42;
    const limit = 1 << (((contextLow >>> 9) & 7) + 13);
    const rid = this.#rps ? contextPasid & 0xf_ffff : 0;
    if ((contextLow & 0x14) === 0x10 || rid >= limit || (contextLow & 0x48) === 0x40) return 0x43;
    let privileged = false;
    if (flags & 16) {
      if (!(contextLow & 8)) return 0x45;
      if (pasid >= this.#pssLimit) return 0x89;
      if (pasid >= limit) return 0x46;
      if (pasid === rid) return 0x48;
      privileged = (flags & 8) !== 0;
    } else {
      pasid = rid;
    }
    at = wordHigh * HIGH + ((contextLow & 0xffff_f000) >>> 0) + (pasid >>> 6) * 8;
    if (at >= this.#bytes) return 0x50;
    word = ram[at / 4] as number;
    wordHigh = ram[at / 4 + 1] as number;
    if (!(word & 1)) return 0x51;
    if (word & 0xffc || wordHigh & this.#above) return 0x52;
    at = wordHigh * HIGH + ((word & 0xffff_f000) >>> 0) + (pasid & 63) * 64;
    if (at >= this.#bytes) return 0x58;
    const entry = at / 4;
    if (!((ram[entry] as number) & 1)) return 0x59;
    let reserved = 0;
    for (let i = 0; i < 16; i++) reserved |= (ram[entry + i] as number) & (this.#entry[i] as number);
    if (reserved) return 0x5a;
    if ((((ram[entry] as number) >>> 6) & 7) !== 1) return 0x5b;
    const tables = ram[entry + 4] as number;
    const fspm = (tables >>> 2) & 3;
    if (fspm > (this.#fs5 ? 1 : 0)) return 0x5b;
    if (privileged && !(tables & 1)) return 0x5d;
    const sign = fspm ? (high << 7) >> 7 : (high << 16) >> 16;
    if (sign !== (high | 0)) return 0x80;
    const snooped = this.#snoops && ((ram[entry + 2] as number) & (1 << 23)) !== 0;
    const write = (flags & 2) !== 0;
    let table = (ram[entry + 5] as number) * HIGH + ((tables & 0xffff_f000) >>> 0);
    let and = 6;
    for (let level = fspm ? 5 : 4; ; level--) {
      const lsb = 3 + 9 * level;
      const index =
        lsb >= 32
          ? (high >>> (lsb - 32)) & 511
          : lsb > 23
            ? ((low >>> lsb) | (high << (32 - lsb))) & 511
            : (low >>> lsb) & 511;
      at = table + index * 8;
      if (at >= this.#bytes) return level === (fspm ? 5 : 4) ? 0x73 : 0x70;
      word = ram[at / 4] as number;
      wordHigh = (ram[at / 4 + 1] as number) & 0xf_ffff;
      if (!(word & 1)) return 0x71;
      const leaf = level === 1 || (level < 4 && (word & 0x80) !== 0);
      if (wordHigh & this.#above) return 0x72;
      if (level > 3 && word & 0x80) return 0x72;
      if (leaf && level === 2 && word & 0x1f_e000) return 0x72;
      if (leaf && level === 3 && (word & 0x3fff_e000 || !this.#fs1g)) return 0x72;
      and &= word;
      if ((!(word & 0x20) || (leaf && write && !(word & 0x40))) && !snooped) return 0x90;
      if (!leaf) {
        table = wordHigh * HIGH + ((word & 0xffff_f000) >>> 0);
        continue;
      }
      if (!privileged && !(and & 4)) return 0x81;
      if (write && !(and & 2) && (!privileged || tables & 16)) return 0x85;
      const inside = (2 ** lsb - 1) >>> 0;
      this.address = wordHigh * HIGH + (((word & 0xffff_f000 & ~inside) | (low & inside)) >>> 0);
      this.pageShift = lsb;
      this.permissions = 1 | (and & 2);
      return wordHigh === 0 && ((word & 0xffff_f000) | (low & inside)) >>> 20 === 0xfee ? 0x87 : 0;
    }
  }
}
