/**
 * The SMMUv3 stage 1 walk (4 KiB granule) in plain TypeScript, without Wasm: 32-bit halves in a
 * Uint32Array, addresses as doubles. Makes the checks of STE, CD and descriptors that
 * `bench/native/smmuv3.c` makes on the path it serves; a yardstick, not a product.
 */

export interface PlainSmmuState {
  base: number;
  cfg: number;
  idr0: number;
  idr1: number;
  idr5: number;
}

const HIGH = 2 ** 32;
const OAS = [32, 36, 40, 42, 44, 48, 52, 52];

export class PlainSmmu {
  readonly #ram: Uint32Array;
  readonly #bytes: number;
  readonly #state: PlainSmmuState;
  readonly #split: number;
  readonly #sidBits: number;
  readonly #oas: number;
  address = 0;
  pageShift = 0;
  permissions = 0;

  constructor(ram: Uint32Array, state: PlainSmmuState) {
    this.#ram = ram;
    this.#bytes = ram.length * 4;
    this.#state = state;
    const split = (state.cfg >>> 6) & 31;
    this.#split = split === 8 || split === 10 ? split : 6;
    this.#sidBits = Math.min(state.cfg & 63, state.idr1 & 63);
    this.#oas = OAS[state.idr5 & 7] as number;
  }

  /** @returns the event number, 0 = translated */
  walk(sid: number, ssid: number, low: number, high: number, flags: number): number {
    const ram = this.#ram;
    const { idr0, idr1, idr5 } = this.#state;
    if (sid >= 2 ** this.#sidBits) return 0x02;
    let at = this.#state.base + (sid >>> this.#split) * 8;
    if (at >= this.#bytes) return 0x03;
    const span = (ram[at / 4] as number) & 31;
    const index = sid & ((1 << this.#split) - 1);
    if (!span || span > 11 || span > this.#split + 1 || index >= 1 << (span - 1)) return 0x02;
    const l2 = (ram[at / 4 + 1] as number) * HIGH + (((ram[at / 4] as number) & 0xffff_ffc0) >>> 0);
    at = Math.floor(l2 / 2 ** (5 + span)) * 2 ** (5 + span) + index * 64;
    if (at >= this.#bytes) return 0x03;
    const ste = at / 4;
    const w0 = ram[ste] as number;
    const w1 = ram[ste + 1] as number;
    const w2 = ram[ste + 2] as number;
    if (!(w0 & 1)) return 0x04;
    if (((w0 >>> 1) & 7) !== 5 || !(idr0 & 2)) return 0x04;
    if ((idr0 >>> 10) & 1 && ((w2 >>> 28) & 3) === 2) return 0x04;
    if ((idr0 >>> 9) & 1 && (w2 >>> 30) & 1) return 0x04;
    if ((w2 >>> 27) & 1 && (idr0 >>> 24) & 3) return 0x04;
    const s1cdmax = (idr1 >>> 6) & 31 ? w1 >>> 27 : 0;
    if (s1cdmax > ((idr1 >>> 6) & 31)) return 0x04;
    const format = (w0 >>> 4) & 3;
    if (s1cdmax && format % 3 && !((idr0 >>> 19) & 1)) return 0x04;
    const table = (w1 & 0xf_ffff) * HIGH + ((w0 & 0xffff_ffc0) >>> 0);
    if (table >= 2 ** this.#oas) return 0x04;
    if (!((idr0 >>> 18) & 1) && (ram[ste + 4] as number) & 0xff00) return 0x04;
    const s1dss = w2 & 3;
    if (flags & 16) {
      if (!s1cdmax || ssid >>> s1cdmax) return 0x08;
      if (!ssid && s1dss === 2) return 0x06;
    } else {
      ssid = 0;
      if (s1cdmax && s1dss !== 2) return 0x06;
    }
    if (s1cdmax && format % 3) {
      const leafBits = format === 1 ? 6 : 10;
      at = table + (ssid >>> leafBits) * 8;
      if (at >= this.#bytes) return 0x09;
      const l1 = ram[at / 4] as number;
      const leaf =
        ((ram[at / 4 + 1] as number) & 0xf_ffff) * HIGH + ((l1 & (format === 2 ? 0xffff_0000 : 0xffff_f000)) >>> 0);
      if (!(l1 & 1) || leaf >= 2 ** this.#oas) return 0x08;
      at = leaf + (ssid & ((1 << leafBits) - 1)) * 64;
    } else {
      at = table + ssid * 64;
    }
    if (at >= this.#bytes) return 0x09;
    const cd = at / 4;
    const c0 = ram[cd] as number;
    const c1 = ram[cd + 1] as number;
    const ips = Math.min(OAS[c1 & 7] as number, this.#oas);
    const illegal =
      !(c0 >>> 31) ||
      ((w2 >>> 27) & 1 && (c1 >>> 12) & 1) ||
      ((idr0 >>> 26) & 1 && !((c1 >>> 14) & 1)) ||
      (((idr0 >>> 24) & 3) === 1 && (c1 >>> 12) & 1) ||
      ((c0 >>> 15) & 1 && ((idr0 >>> 21) & 3) === 2) ||
      !((c1 >>> 9) & 1) ||
      ((c1 >>> 10) & 3 && !((idr0 >>> 6) & 3)) ||
      (!((idr0 >>> 12) & 1) && c1 >>> 24) ||
      !((idr5 >>> 4) & 1);
    if (illegal) return 0x0a;
    const upper = (high >>> 23) & 1;
    if (upper ? (c0 >>> 30) & 1 : (c0 >>> 14) & 1) return 0x10;
    const tsz = upper ? (c0 >>> 16) & 63 : c0 & 63;
    if (tsz < 16 || tsz > 39) return 0x0a;
    const input = 64 - tsz;
    const tbi = upper ? (c1 >>> 7) & 1 : (c1 >>> 6) & 1;
    const top = tbi ? (high << 8) >> 8 : high | 0;
    if (input >= 32 ? top >> (input - 32) !== (upper ? -1 : 0) : top !== (upper ? -1 : 0)) return 0x10;
    const half = cd + (upper ? 4 : 2);
    let next = ((ram[half + 1] as number) & 0xf_ffff) * HIGH + (((ram[half] as number) & 0xffff_fff0) >>> 0);
    if (next >= 2 ** ips) return 0x0a;
    const had = ((ram[half] as number) >>> 1) & 1;
    let noUser = 0;
    let noWrite = 0;
    let xn = 0;
    let pxn = 0;
    for (let level = 4 - Math.ceil((input - 12) / 9); ; level++) {
      const lsb = 12 + 9 * (3 - level);
      const bits = Math.min(9, input - lsb);
      const all = lsb >= 32 ? high >>> (lsb - 32) : lsb > 23 ? (low >>> lsb) | (high << (32 - lsb)) : low >>> lsb;
      at = next + (all & ((1 << bits) - 1)) * 8;
      if (at >= this.#bytes) return 0x0b;
      const d = ram[at / 4] as number;
      const dHigh = ram[at / 4 + 1] as number;
      const isTable = level < 3 && (d & 2) !== 0;
      if (!(d & 1) || (level === 3 && !(d & 2)) || (!isTable && level === 0)) return 0x10;
      const inside = isTable ? 0xfff : (2 ** lsb - 1) >>> 0;
      const output = (dHigh & 0xffff) * HIGH + ((d & 0xffff_f000 & ~inside) >>> 0);
      if (output >= 2 ** ips) return 0x11;
      if (isTable) {
        if (!had) {
          noUser |= (dHigh >>> 29) & 1;
          noWrite |= (dHigh >>> 30) & 1;
          xn |= (dHigh >>> 28) & 1;
          pxn |= (dHigh >>> 27) & 1;
        }
        next = output;
        continue;
      }
      if (!((d >>> 10) & 1) && !((c1 >>> 3) & 1)) return 0x12;
      const user = (d & 0x40) !== 0 && !noUser;
      const privileged = (flags & 8) !== 0;
      const readable = privileged ? !((c1 >>> 8) & 1 && user) : user;
      const writable = readable && !(d & 0x80) && !noWrite;
      const executable = privileged ? !((dHigh >>> 21) & 1 || pxn) : user && !((dHigh >>> 22) & 1 || xn);
      if ((flags & 1 && !readable) || (flags & 2 && !writable) || (flags & 4 && !executable)) return 0x13;
      this.address = output + (low & inside);
      this.pageShift = lsb;
      this.permissions = (readable ? 1 : 0) | (writable ? 2 : 0) | (executable ? 4 : 0);
      return 0;
    }
  }
}
