/**
 * Protected memory regions: memory that no device may touch. Intel D51397, rev 5.10, "Protected
 * Memory Enable Register" and the four after it.
 */
import { PMEN, PROTECTED_REGION } from "../../assembly/layout/vtd-registers.ts";
import type { RegisterFile } from "../registers.ts";
import { maskOf } from "../structure.ts";
import type { VtdFeatures } from "./features.ts";

/** From this major version on, remapped requests are blocked too. */
const BLOCKS_ALWAYS = 2;

export interface ProtectedRegion {
  first: bigint;
  last: bigint;
}

export class ProtectedMemory {
  readonly #registers: RegisterFile;
  readonly #features: Readonly<VtdFeatures>;
  #regions: ProtectedRegion[] = [];

  constructor(registers: RegisterFile, features: Readonly<VtdFeatures>) {
    this.#registers = registers;
    this.#features = features;
  }

  /** Whether any region is in force: nothing else needs asking. */
  get isOn(): boolean {
    return this.#regions.length > 0;
  }

  /** The regions in force, and whether remapped requests are kept out of them too. */
  get inForce(): { regions: readonly ProtectedRegion[]; always: boolean } {
    return { regions: this.#regions, always: this.#features.MAX >= BLOCKS_ALWAYS };
  }

  /** Brings the regions in force up to date: PMEN was written, or everything changed at once. */
  update(): void {
    this.#regions = [];
    const { PLMR, PHMR } = this.#features;
    if (!PLMR && !PHMR) return;
    const on = this.#registers.has("PMEN", PMEN.EPM);
    this.#registers.setField("PMEN", PMEN.PRS, on);
    if (!on) return;
    if (PLMR) this.#add("PLM");
    if (PHMR) this.#add("PHM");
  }

  /**
   * Whether an access is blocked, silently.
   * @param address host physical
   * @param asIs the address came from the device as it is: no translation, pass-through, or translated
   */
  blocks(address: bigint, asIs: boolean): boolean {
    return isBlocked(this.inForce, address, asIs);
  }

  #add(prefix: string): void {
    const first = this.#registers.get(`${prefix}BASE`);
    // § 11.4.8.3: the limit's unused low bits count as ones; a limit below the base is no region.
    const alignment = maskOf(PROTECTED_REGION.ADDR);
    const last = this.#registers.get(`${prefix}LIMIT`) + BigInt.asUintN(64, ~alignment);
    if (last >= first) this.#regions.push({ first, last });
  }
}

/** Whether an access to `address` is blocked; see `ProtectedMemory.blocks`. */
export function isBlocked(
  { regions, always }: { regions: readonly ProtectedRegion[]; always: boolean },
  address: bigint,
  asIs: boolean,
): boolean {
  if (!asIs && !always) return false;
  return regions.some(({ first, last }) => address >= first && address <= last);
}
