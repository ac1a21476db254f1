/**
 * Interrupt remapping: from a device's write to FEEx_xxxxh to the message that is delivered.
 *
 * Intel D51397, rev 5.10, "Interrupt Remapping". Entries are read at every interrupt: a unit need not
 * cache them. Posted interrupts are not modelled.
 */

import { INTERRUPT_PREFIX, IRTE, IRTE_BYTES, IRTE_RESERVED, SOURCE_ID, SVT } from "../../assembly/layout/vtd.ts";
import { GSTS } from "../../assembly/layout/vtd-base.ts";
import {
  DESTINATION_LOW_BITS,
  HANDLE_LOW_BITS,
  INTERRUPT_ADDRESS,
  INTERRUPT_DATA,
  MSI_ADDRESS,
  MSI_DATA,
} from "../../assembly/layout/vtd-descriptors.ts";
import { REASON } from "../../assembly/layout/vtd-faults.ts";
import { FRCD, IRTA } from "../../assembly/layout/vtd-registers.ts";
import { getBits, getField, maskOf, maskWords, putBits } from "../structure.ts";
import type { FaultLog } from "./faults.ts";
import type { UnitParts } from "./parts.ts";

/** An interrupt that is delivered. */
export interface DeliveredInterrupt {
  ok: true;
  /** The message that goes to the processors. */
  address: bigint;
  data: number;
  /** False: compatibility format, or remapping is off; passed on as it came. */
  remapped: boolean;
  /** Index of the entry that was used. */
  index?: number;
}

/** An interrupt that is not; the device gets Unsupported Request. */
export interface BlockedInterrupt {
  ok: false;
  answer: "ur";
  code: REASON;
  recorded: boolean;
  index?: number;
}

export type InterruptOutcome = DeliveredInterrupt | BlockedInterrupt;

/** A failed check; `index` where the fault record tells it. */
interface Blocked {
  code: REASON;
  index?: number;
  /** FPD of the entry keeps it from being recorded. */
  suppressed?: boolean;
}

const IRTE_WORDS = IRTE_BYTES / 8;

const { R0, R1, R2, REMAPPED, XAPIC_LOW, XAPIC_HIGH } = IRTE_RESERVED;
/** Bits that must be 0 in remapped format, in extended and in xAPIC mode. */
const RESERVED_EXTENDED = maskWords([R0, R1, R2, REMAPPED], IRTE_WORDS);
const RESERVED_XAPIC = maskWords([R0, R1, R2, REMAPPED, XAPIC_LOW, XAPIC_HIGH], IRTE_WORDS);

/** Function bits of the source-id that do not count, by IRTE.SQ: none, 2, 2:1, 2:0. */
const IGNORED_FUNCTION_BITS = [0b000, 0b100, 0b110, 0b111];

export class InterruptRemapper {
  readonly #parts: UnitParts;
  readonly #faults: FaultLog;

  constructor(parts: UnitParts, faults: FaultLog) {
    this.#parts = parts;
    this.#faults = faults;
  }

  /** Decides one interrupt request: a write of the dword `data` to `address` by `sid`. */
  request(sid: number, address: bigint, data: number): InterruptOutcome {
    const outcome = this.#decide(sid, address, data);
    if (!("code" in outcome)) return outcome;
    const { code, index, suppressed = false } = outcome;
    if (!suppressed) {
      const information = putBits(0n, FRCD.INDEX, index ?? 0);
      this.#faults.record({ reason: code, sid, information, type: "write", at: 0 });
    }
    const blocked = { ok: false, answer: "ur", code, recorded: !suppressed } as const;
    return index === undefined ? blocked : { ...blocked, index };
  }

  #decide(sid: number, address: bigint, data: number): DeliveredInterrupt | Blocked {
    const { features, registers, latched } = this.#parts;
    const extended = getBits(latched.irta, IRTA.EIME) === 1n;
    // § 5.1.4
    if (!registers.has("GSTS", GSTS.IRES)) {
      return features.IRREQ ? { code: REASON.IR_DISABLED } : { ok: true, address, data, remapped: false };
    }
    // § 5.1.4
    if (features.EIMER && !extended) return { code: REASON.IR_MODE };
    // § 5.1.4: compatibility format
    if (!getBits(address, INTERRUPT_ADDRESS.FORMAT)) {
      const passes = !extended && registers.has("GSTS", GSTS.CFIS);
      return passes ? { ok: true, address, data, remapped: false } : { code: REASON.IR_COMPATIBILITY };
    }
    return this.#remap(sid, address, data, extended);
  }

  #remap(sid: number, address: bigint, data: number, extended: boolean): DeliveredInterrupt | Blocked {
    const { latched, bus, features } = this.#parts;
    const withSubhandle = getBits(address, INTERRUPT_ADDRESS.SHV) === 1n;
    const message = BigInt(data);
    // § 5.1.4
    if (withSubhandle && getBits(message, INTERRUPT_DATA.RESERVED)) return { code: REASON.IR_RESERVED_REQUEST };
    const high = getBits(address, INTERRUPT_ADDRESS.HANDLE_HIGH) << BigInt(HANDLE_LOW_BITS);
    const handle = Number(getBits(address, INTERRUPT_ADDRESS.HANDLE_LOW) | high);
    const sum = handle + (withSubhandle ? Number(getBits(message, INTERRUPT_DATA.SUBHANDLE)) : 0);
    const index = sum % 2 ** 16;
    const entries = 2 ** (Number(getBits(latched.irta, IRTA.S)) + 1);
    const at = (latched.irta & maskOf(IRTA.IRTA)) + BigInt(index * IRTE_BYTES);
    // § 5.1.4: the sum does not wrap.
    if (sum >= entries || at >> BigInt(features.HAW)) return { code: REASON.IR_INDEX, index };
    const entry = bus.readWords(at, IRTE_WORDS);
    // § 5.1.4
    if (!entry) return { code: REASON.IR_ACCESS, index };
    const failed = checkEntry(entry, sid, extended);
    if (failed !== undefined) return { code: failed, index, suppressed: getField(entry, IRTE.FPD) === 1n };
    return { ok: true, ...messageOf(entry, extended), remapped: true, index };
  }
}

/** Why an entry does not serve the requester, in the order of § 5.1.4.1. */
function checkEntry(entry: readonly bigint[], sid: number, extended: boolean): REASON | undefined {
  if (!getField(entry, IRTE.P)) return REASON.IR_NOT_PRESENT;
  const reserved = extended ? RESERVED_EXTENDED : RESERVED_XAPIC;
  const svt = Number(getField(entry, IRTE.SVT));
  // Posted format is reserved, since it is not advertised.
  if (
    reserved.some((mask, word) => ((entry[word] as bigint) & mask) !== 0n) ||
    svt > SVT.BUS_RANGE ||
    getField(entry, IRTE.IM)
  ) {
    return REASON.IR_RESERVED_ENTRY;
  }
  return isFrom(entry, svt, sid) ? undefined : REASON.IR_SOURCE;
}

/** Whether the entry may be used by `sid`. */
function isFrom(entry: readonly bigint[], svt: SVT, sid: number): boolean {
  const expected = Number(getField(entry, IRTE.SID));
  if (svt === SVT.SOURCE_ID) {
    const ignored = IGNORED_FUNCTION_BITS[Number(getField(entry, IRTE.SQ))] as number;
    return (sid | ignored) === (expected | ignored);
  }
  if (svt === SVT.BUS_RANGE) {
    const bus = getBits(BigInt(sid), SOURCE_ID.BUS);
    return bus >= getBits(BigInt(expected), SOURCE_ID.BUS) && bus <= getBits(BigInt(expected), SOURCE_ID.DEVFN);
  }
  return true;
}

/** § 5.1.4: what a remapped interrupt looks like to the processors. */
function messageOf(entry: readonly bigint[], extended: boolean): { address: bigint; data: number } {
  const field = (name: number) => getField(entry, name);
  const destination = field(extended ? IRTE.DST : IRTE.DST_XAPIC);
  let address = putBits(0n, MSI_ADDRESS.PREFIX, INTERRUPT_PREFIX);
  address = putBits(address, MSI_ADDRESS.DM, field(IRTE.DM));
  address = putBits(address, MSI_ADDRESS.RH, field(IRTE.RH));
  const low = destination % 2n ** BigInt(DESTINATION_LOW_BITS);
  address = putBits(address, MSI_ADDRESS.DESTINATION, low);
  address = putBits(address, MSI_ADDRESS.DESTINATION_HIGH, (destination - low) >> BigInt(DESTINATION_LOW_BITS));
  let data = putBits(0n, MSI_DATA.VECTOR, field(IRTE.V));
  data = putBits(data, MSI_DATA.DELIVERY_MODE, field(IRTE.DLM));
  data = putBits(data, MSI_DATA.ASSERT, 1);
  data = putBits(data, MSI_DATA.TRIGGER_MODE, field(IRTE.TM));
  return { address, data: Number(data) };
}
