/** VtdWalker: walks Intel VT-d tables in guest memory, without queues or registers; caches if wanted. */

import { GSTS } from "../../assembly/layout/vtd-base.ts";
import { CAP } from "../../assembly/layout/vtd-capabilities.ts";
import { VTD, VTD_ATTRIBUTES } from "../../assembly/layout/vtd-unit.ts";
import { checkBigInt, checkInteger } from "../check.ts";
import type { CoreExports } from "../core/exports.ts";
import { ADDRESS_BITS, type GuestMemory } from "../memory.ts";
import { getField, setField } from "../structure.ts";
import type { Vendor } from "../walk/vendor.ts";
import { Walker } from "../walker.ts";
import type { ShareOptions, WalkerHandle } from "../workers/handle.ts";
import { UnitBlocks } from "../workers/unit-blocks.ts";
import { type VtdCachePolicy, VtdTranslationCaches } from "./caches.ts";
import { checkName, faultReason, structureName } from "./names.ts";
import type { ProtectedRegion } from "./protected-memory.ts";
import { type VtdEntry, vtdReservedBits, vtdUnsupported } from "./reserved.ts";

/** Bytes of a protected region in a unit block. */
export const PROTECTED_BYTES = 16;
/** Source-ids: bus, device, function. */
export const MAX_SOURCE_ID = 0xffff;
const U64 = 0xffff_ffff_ffff_ffffn;
const VERSION_1_0 = 0x10;

/** The registers that a walk depends on. */
export interface VtdState {
  /** CAP_REG. */
  cap: bigint;
  /** ECAP_REG. */
  ecap: bigint;
  /** VER_REG; 0x10 (1.0) unless told. */
  version?: number;
  /** Host address width in bits; CAP.MGAW + 1, but at most 52, unless told. */
  haw?: number;
  /** RTADDR_REG as the last "set root table pointer" latched it. */
  rtaddr: bigint;
  /** GSTS.TES; true unless told. */
  translationEnabled?: boolean;
  /** GSTS.IRES; false unless told. */
  interruptRemapping?: boolean;
}

/** `Translation.attributes` of a VT-d walk, taken apart. */
export interface VtdAttributes {
  /** By the tables (PAT, EMT), with the platform's MTRRs taken as WB. */
  memoryType: "UC" | "WC" | "WT" | "WP" | "WB" | "UC-" | "reserved";
  /** The page is snooped even for a No-Snoop request; bit N of a translation completion. */
  snoop: boolean;
}

const MEMORY_TYPES = ["UC", "WC", "reserved", "reserved", "WT", "WP", "WB", "UC-"] as const;

/** Takes `Translation.attributes` of a VT-d walk apart. */
export function vtdAttributes(attributes: number): VtdAttributes {
  const words = [BigInt(attributes)];
  return {
    memoryType: MEMORY_TYPES[Number(getField(words, VTD_ATTRIBUTES.TYPE))] ?? "reserved",
    snoop: getField(words, VTD_ATTRIBUTES.SNOOP) === 1n,
  };
}

/** VT-d's half of a walker, with the unit's caches or without. */
export function vtdVendor(exports: CoreExports, cached: boolean): Vendor {
  return {
    maxSid: MAX_SOURCE_ID,
    walk: cached ? exports.vtdTranslate : exports.vtdWalk,
    walkTraced: exports.vtdWalkTraced,
    walkMany: cached ? exports.vtdTranslateMany : exports.vtdWalkMany,
    codeName: (code) => faultReason(code).name,
    structureName,
    check: checkName,
  };
}

export class VtdWalker extends Walker {
  /** Translation caches; without them every request is walked. Traces always walk. */
  readonly caches: VtdTranslationCaches | undefined;
  readonly #memory: GuestMemory;
  readonly #blocks: UnitBlocks;

  /**
   * @param policy what is cached; nothing unless told
   * @throws RangeError, TypeError for a malformed `state`, naming its member, or when memory has no room left
   */
  constructor(memory: GuestMemory, state: VtdState, policy: VtdCachePolicy = "none") {
    const { core } = memory;
    const unit = core.allocate(VTD.END);
    const blocks = new UnitBlocks(memory, unit, VTD.END);
    const caches = policy === "none" ? undefined : new VtdTranslationCaches(core, unit, blocks, policy);
    super(core, vtdVendor(core.exports, caches !== undefined), unit, caches?.front);
    this.#memory = memory;
    this.#blocks = blocks;
    this.caches = caches;
    this.configure(state);
  }

  /** Takes new register values. What is cached stays: the architecture says when to invalidate. */
  configure(state: VtdState): void {
    this.#blocks.change((unit) => {
      writeState(this.#memory, unit, state);
      this.#memory.core.exports.vtdConfigure(unit);
    });
  }

  /** Regions that workers keep devices out of, as a unit's registers have them; `always`: remapped requests too. */
  protect(regions: readonly ProtectedRegion[], always: boolean): void {
    const { view } = this.#memory.core;
    this.#blocks.change((unit) => {
      view.setUint32(unit + VTD.PROTECTED_COUNT, regions.length, true);
      view.setUint32(unit + VTD.PROTECTED_ALWAYS, Number(always), true);
      regions.forEach(({ first, last }, i) => {
        const at = unit + VTD.PROTECTED + i * PROTECTED_BYTES;
        view.setBigUint64(at, first, true);
        view.setBigUint64(at + PROTECTED_BYTES / 2, last, true);
      });
    });
  }

  /**
   * Walkers for `count` more worker threads: post them, and attach there with `attachVtdWalker` of
   * `iommulator/workers`. They go by the same registers; each has caches of its own, as large as these, which
   * are told of what these are told of.
   * @throws RangeError when the memory was made without `shared`, is served by the host in part, or has no
   *   room left
   */
  share(count: number, options?: ShareOptions): WalkerHandle[] {
    const { caches } = this;
    const open = (unit: number): void => {
      caches?.openIn(unit);
      this.#memory.core.exports.vtdConfigure(unit);
    };
    return this.#blocks.share("vtd", count, caches && open, options);
  }

  /**
   * Takes a worker off: nobody waits for it any more. If it is still there, it throws at its next call; a call
   * under way ends by the old state. Its part of the workspace is not used again.
   * @throws RangeError when `index` is no worker of this walker
   */
  detach(index: number): void {
    this.#blocks.detach(index);
  }

  /**
   * Ones over the bits that this unit's capabilities make reserved in an entry, a word each (VT-d chapter 9).
   * @param nested a first-stage entry whose addresses pass a second stage
   * @returns undefined for a structure that is no table entry
   */
  reservedBits(entry: VtdEntry, nested = false): bigint[] | undefined {
    return vtdReservedBits(this.#memory.core.view, this.unit, entry, nested);
  }

  /** Names of an entry's fields whose values need capabilities that this unit lacks: AW, PGTT, FSPM, DID. */
  unsupportedFields(entry: VtdEntry): string[] {
    return vtdUnsupported(this.#memory.core.view, this.unit, entry);
  }
}

/** Stores the inputs of `vtdConfigure` in a unit block. */
export function writeState(memory: GuestMemory, unit: number, state: VtdState): void {
  const { view } = memory.core;
  const cap = checkBigInt("cap", state.cap, 0n, U64);
  const mgaw = Number(getField([cap], CAP.MGAW)) + 1;
  const haw = checkInteger("haw", state.haw ?? Math.min(mgaw, ADDRESS_BITS), 12, ADDRESS_BITS);
  const gsts = [0n];
  setField(gsts, GSTS.TES, state.translationEnabled ?? true);
  setField(gsts, GSTS.IRES, state.interruptRemapping ?? false);
  view.setBigUint64(unit + VTD.CAP, cap, true);
  view.setBigUint64(unit + VTD.ECAP, checkBigInt("ecap", state.ecap, 0n, U64), true);
  view.setBigUint64(unit + VTD.RTADDR, checkBigInt("rtaddr", state.rtaddr, 0n, U64), true);
  const version = checkInteger("version", state.version ?? VERSION_1_0, 0, 0xffff_ffff);
  view.setUint32(unit + VTD.VERSION, version, true);
  view.setUint32(unit + VTD.HAW, haw, true);
  view.setUint32(unit + VTD.GSTS, Number(gsts[0]), true);
}
