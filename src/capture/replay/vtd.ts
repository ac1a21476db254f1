/** VT-d's side of a replay: invalidation descriptors, DMA faults, page requests, fault records. */

import { CAP } from "../../../assembly/layout/vtd-capabilities.ts";
import { LOG2_DESCRIPTORS, PAGE_REQ } from "../../../assembly/layout/vtd-descriptors.ts";
import { FRCD, FRCD_BYTES, IQ_POINTER, IQA, OFFSET_UNIT, PQA, REG } from "../../../assembly/layout/vtd-registers.ts";
import { ADDRESS_BITS, type GuestMemory } from "../../memory.ts";
import { getField, getInPlace, setField } from "../../structure.ts";
import { VtdCapabilities } from "../../vtd/capabilities.ts";
import { VtdUnit } from "../../vtd/unit.ts";
import type { Capture } from "../capture.ts";
import { architectureFaults, type FaultDialect } from "../faults.ts";
import type { AccessLine, DescriptorLine, FaultLine, PageRequestLine, StimulusLine } from "../regtrace.ts";
import { dialectOf } from "../verify.ts";
import { provoke } from "./provoke.ts";
import type { ReasonId } from "./reasons.ts";
import { buildFrom, compareWords, Mailbox, type Rig, readWords, writeWords } from "./rig.ts";

const NARROW_BYTES = 16;
const WIDE_BYTES = 32;
const GIB = 1_073_741_824n;
const LOW_RAM = 2n * GIB;
const ABOVE = 4n * GIB;

export class VtdRig implements Rig {
  readonly #memory: GuestMemory;
  readonly #unit: VtdUnit;
  readonly #dialect: FaultDialect;
  readonly #messages = new Mailbox();
  readonly #lacksFeatures: boolean;
  /** Where fault records lie. */
  readonly #records: { first: number; end: number };

  constructor(capture: Capture) {
    const { registers } = capture;
    const cap = registers.read64(REG.CAP);
    const haw = Number(getField([cap], CAP.MGAW)) + 1;
    const found = { ver: BigInt(registers.read32(REG.VER)), cap, ecap: registers.read64(REG.ECAP) };
    // A PC with much RAM has some of it above the devices' addresses, from 4 GiB on.
    const above = capture.ramBytes > LOW_RAM ? ABOVE : 0n;
    this.#memory = capture.pages.machine(capture.ramBase, capture.ramBytes + above);
    const unit = buildFrom(capture, () => {
      const capabilities = VtdCapabilities.asFound(found, Math.min(haw, ADDRESS_BITS));
      const onInterrupt = (address: bigint, data: number) => this.#messages.take(address, data);
      return new VtdUnit(this.#memory, { capabilities, onInterrupt });
    });
    this.#unit = unit;
    this.#lacksFeatures = unit.capabilities.cleared.length > 0;
    // Present devices answer invalidations of their TLBs.
    for (const { sid } of capture.devices) if (sid !== undefined) this.#unit.device(sid);
    this.#dialect = dialectOf(capture);
    const first = Number(getField([cap], CAP.FRO)) * OFFSET_UNIT;
    this.#records = { first, end: first + (Number(getField([cap], CAP.NFR)) + 1) * FRCD_BYTES };
  }

  read(offset: number, size: number): bigint {
    return this.#unit.mmio.read(offset, size);
  }

  write({ offset, size, value }: AccessLine, shown: readonly DescriptorLine[]): void {
    if (offset === REG.IQT) this.#placeDescriptors(shown);
    this.#unit.mmio.write(offset, size, value);
  }

  stimulate(line: StimulusLine): string | undefined {
    switch (line.op) {
      case "fault":
        return this.#fault(line);
      case "prq":
        return this.#requestPage(line);
      case "msi":
        return this.#messages.expect(line.address, line.data);
      default:
        return undefined;
    }
  }

  explain({ offset, value }: AccessLine, got: bigint): ReasonId | undefined {
    if (offset === REG.CAP || offset === REG.ECAP) {
      return this.#lacksFeatures && (value & got) === got ? "not-modelled" : undefined;
    }
    const { first, end } = this.#records;
    if (offset < first || offset >= end) return undefined;
    const recorded = recordWords(value, offset - first);
    const ours = recordWords(got, offset - first);
    const reason = getField(ours, FRCD.FR);
    const meant = architectureFaults(Number(getField(recorded, FRCD.FR)), this.#dialect);
    if (!meant.includes(Number(reason))) return undefined;
    setField(recorded, FRCD.FR, reason);
    return recorded.every((word, i) => word === ours[i]) ? "fault-number" : undefined;
  }

  /** Stores what the write of IQT is about to show, from the old tail on. */
  #placeDescriptors(shown: readonly DescriptorLine[]): void {
    const { mmio } = this.#unit;
    const iqa = [mmio.read(REG.IQA, 8)];
    const base = getInPlace(iqa, IQA.IQA);
    const ring = BigInt(NARROW_BYTES * 2 ** (LOG2_DESCRIPTORS + Number(getField(iqa, IQA.QS))));
    const bytes = getField(iqa, IQA.DW) === 1n ? WIDE_BYTES : NARROW_BYTES;
    let at = getInPlace([mmio.read(REG.IQT, 8)], IQ_POINTER.POINTER);
    for (const { words } of shown) {
      writeWords(this.#memory, base + at, words.slice(0, bytes / 8));
      at = (at + BigInt(bytes)) % ring;
    }
  }

  #fault({ sid, pasid, address, write, fault }: FaultLine): string | undefined {
    const request = { sid, pasid, address, access: write ? "w" : "r" } as const;
    const wanted = architectureFaults(fault, this.#dialect);
    const outcome = provoke(this.#unit, this.#memory, request, wanted);
    if (!outcome.ok && wanted.includes(outcome.code)) return undefined;
    return `the request ${outcome.ok ? "passes" : `faults with ${outcome.code}`} instead of faulting with ${fault}`;
  }

  #requestPage({ words }: PageRequestLine): string | undefined {
    const flag = (field: number) => getField(words, field) === 1n;
    const { mmio } = this.#unit;
    const slot = getInPlace([mmio.read(REG.PQA, 8)], PQA.PQA) + mmio.read(REG.PQT, 8);
    const outcome = this.#unit.requestPage({
      sid: Number(getField(words, PAGE_REQ.RID)),
      ...(flag(PAGE_REQ.PP) ? { pasid: Number(getField(words, PAGE_REQ.PASID)) } : {}),
      address: getInPlace(words, PAGE_REQ.ADDR),
      read: flag(PAGE_REQ.RDR),
      write: flag(PAGE_REQ.WRR),
      execute: flag(PAGE_REQ.EXR),
      privileged: flag(PAGE_REQ.PMR),
      last: flag(PAGE_REQ.LPIG),
      group: Number(getField(words, PAGE_REQ.PRGI)),
    });
    if (outcome !== "queued") return `the page request is ${outcome} instead of queued`;
    return compareWords("page request", words, readWords(this.#memory, slot, words.length));
  }
}

/** A piece of a fault record at its place in the record. */
function recordWords(piece: bigint, offset: number): bigint[] {
  const at = offset % FRCD_BYTES;
  const words = [0n, 0n];
  words[Math.floor(at / 8)] = piece << BigInt(8 * (at % 8));
  return words;
}
