/**
 * Register-based invalidation: CCMD and IOTLB_REG, for legacy mode up to major version 5.
 *
 * Intel D51397, rev 5.10, "Context Command Register", "IOTLB Registers". A command starts when the
 * byte that holds its start bit is written with that bit set.
 */
import { GSTS, RTADDR, TTM } from "../../assembly/layout/vtd-base.ts";
import { CCMD, GRANULARITY, IOTLB_REG, IVA } from "../../assembly/layout/vtd-registers.ts";
import type { RegisterWrite } from "../registers.ts";
import { getBits } from "../structure.ts";
import type { UnitParts } from "./parts.ts";
import { domainMask } from "./queue.ts";

/** First major version in which every such command is an incorrect request. */
const REMOVED_IN = 6;

export class RegisterInvalidation {
  readonly #parts: UnitParts;

  constructor(parts: UnitParts) {
    this.#parts = parts;
  }

  /** CCMD was written. */
  contextCommand(write: RegisterWrite): void {
    if (!getBits(write.value, CCMD.ICC)) return;
    const { registers, caches, features } = this.#parts;
    const field = (name: number) => Number(registers.getField("CCMD", name));
    const granularity = this.#isServed() ? field(CCMD.CIRG) : GRANULARITY.RESERVED;
    if (granularity !== GRANULARITY.RESERVED) {
      const did = field(CCMD.DID) & domainMask(features.ND);
      caches.invalidateContext(granularity, did, field(CCMD.SID), field(CCMD.FM), true);
    }
    // § 11.4.6.1: CAIG tells what was done; 0 is "nothing".
    registers.setField("CCMD", CCMD.CAIG, granularity);
    registers.setField("CCMD", CCMD.ICC, 0);
  }

  /** IOTLB_REG was written. */
  iotlbCommand(write: RegisterWrite): void {
    if (!getBits(write.value, IOTLB_REG.IVT)) return;
    const { registers, caches, features } = this.#parts;
    const done = this.#isServed() ? this.#iotlbGranularity() : GRANULARITY.RESERVED;
    if (done !== GRANULARITY.RESERVED) {
      const did = Number(registers.getField("IOTLB", IOTLB_REG.DID)) & domainMask(features.ND);
      const address = registers.getInPlace("IVA", IVA.ADDR) & ((1n << BigInt(features.MGAW + 1)) - 1n);
      const addressMask = Number(registers.getField("IVA", IVA.AM));
      caches.invalidateIotlb(done, did, address, addressMask, registers.has("IVA", IVA.IH));
    }
    registers.setField("IOTLB", IOTLB_REG.IAIG, done);
    registers.setField("IOTLB", IOTLB_REG.IVT, 0);
  }

  /** What is done of what is asked. */
  #iotlbGranularity(): GRANULARITY {
    const { registers, features } = this.#parts;
    const asked: GRANULARITY = Number(registers.getField("IOTLB", IOTLB_REG.IIRG));
    if (asked !== GRANULARITY.SELECTIVE) return asked;
    // § 11.4.6.3: without page-selective invalidation the domain goes; too large a mask is an error.
    if (!features.PSI) return GRANULARITY.DOMAIN;
    return registers.getField("IVA", IVA.AM) > BigInt(features.MAMV) ? GRANULARITY.RESERVED : asked;
  }

  /** Legacy mode, an old enough version, and no invalidation queue in use. */
  #isServed(): boolean {
    const { registers, latched, features } = this.#parts;
    const ttm = Number(getBits(latched.rtaddr, RTADDR.TTM));
    return features.MAX < REMOVED_IN && ttm === TTM.LEGACY && !registers.has("GSTS", GSTS.QIES);
  }
}
