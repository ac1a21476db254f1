/** SMMUv3's side of a replay: commands, and transactions that make events. */
import { EVENT_NUMBER } from "../../../assembly/layout/smmuv3-faults.ts";
import { CMD_RESUME, COMMAND, COMMAND_BYTES, EVENT, OPCODE } from "../../../assembly/layout/smmuv3-queues.ts";
import { CMDQ_BASE, CMDQ_PROD, PAGE0 } from "../../../assembly/layout/smmuv3-registers.ts";
import { hex } from "../../check.ts";
import type { Access } from "../../iommu.ts";
import type { GuestMemory } from "../../memory.ts";
import { decodeEvent, encodeEvent } from "../../smmuv3/event-record.ts";
import { ID_LAYOUTS, NOT_MODELLED } from "../../smmuv3/features.ts";
import { Smmuv3 } from "../../smmuv3/unit.ts";
import { fieldsOf, getField, getInPlace, setField } from "../../structure.ts";
import type { Capture } from "../capture.ts";
import { architectureFaults, type FaultDialect } from "../faults.ts";
import type { AccessLine, EventLine, StimulusLine } from "../regtrace.ts";
import { dialectOf } from "../verify.ts";
import { provoke } from "./provoke.ts";
import type { ReasonId } from "./reasons.ts";
import { buildFrom, compareWords, Mailbox, type Rig, writeWords } from "./rig.ts";

/** Where QEMU spells the name of an event in its own way. */
const EVENT_ALIASES: Readonly<Record<string, EventName>> = {
  F_TRANS_FORBIDDEN: "F_TRANSL_FORBIDDEN",
  E_PAGE_REQ: "E_PAGE_REQUEST",
};
const EVENT_PREFIX = "SMMU_EVT_";

type EventName = keyof typeof EVENT_NUMBER;
type IdRegister = keyof typeof ID_LAYOUTS;
const ID_REGISTERS = Object.keys(ID_LAYOUTS) as readonly IdRegister[];

export class SmmuRig implements Rig {
  readonly #memory: GuestMemory;
  readonly #unit: Smmuv3;
  readonly #messages = new Mailbox();
  /** The tag of a stall is the SMMU's to choose: from the recorder's to ours. */
  readonly #tags = new Map<bigint, bigint>();
  /** Records that the guest was given and the trace has not spoken of yet. */
  readonly #records: (readonly bigint[])[];
  readonly #dialect: FaultDialect;
  #written: readonly bigint[] | undefined;

  constructor(capture: Capture) {
    const { registers } = capture;
    this.#memory = capture.pages.machine(capture.ramBase, capture.ramBytes);
    this.#dialect = dialectOf(capture);
    const ids = Object.fromEntries(ID_REGISTERS.map((name) => [name, modelled(name, registers.read32(PAGE0[name]))]));
    this.#unit = buildFrom(capture, () => {
      const onInterrupt = (address: bigint, data: number) => this.#messages.take(address, data);
      return new Smmuv3(this.#memory, { ids, onInterrupt });
    });
    this.#unit.onEvent = (_, words) => {
      this.#written = words;
    };
    this.#records = [...capture.events];
  }

  read(offset: number, size: number): bigint {
    return this.#unit.mmio.read(offset, size);
  }

  write(line: AccessLine): void {
    const { mmio } = this.#unit;
    if (line.offset === PAGE0.CMDQ_PROD) this.#placeCommands(line.commands);
    mmio.write(line.offset, line.size, line.value);
  }

  stimulate(line: StimulusLine): string | undefined {
    if (line.op === "event") return this.#event(line);
    return line.op === "msi" ? this.#messages.expect(line.address, line.data) : undefined;
  }

  explain({ offset, value }: AccessLine, got: bigint): ReasonId | undefined {
    const name = ID_REGISTERS.find((register) => PAGE0[register] === offset);
    return name && got === BigInt(modelled(name, Number(value))) ? "not-modelled" : undefined;
  }

  /** Stores what the write of CMDQ_PROD is about to show, from the old index on. */
  #placeCommands(commands: readonly (readonly bigint[])[]): void {
    const { mmio } = this.#unit;
    const base = [mmio.read(PAGE0.CMDQ_BASE, 8)];
    const entries = 2 ** Number(getField(base, CMDQ_BASE.LOG2SIZE));
    const first = Number(getField([mmio.read(PAGE0.CMDQ_PROD, 4)], CMDQ_PROD.WR));
    commands.forEach((command, i) => {
      const slot = BigInt(COMMAND_BYTES * ((first + i) % entries));
      writeWords(this.#memory, getInPlace(base, CMDQ_BASE.ADDR) + slot, this.#retag(command));
    });
  }

  /** A command with the tag by which this unit knows the stall. */
  #retag(command: readonly bigint[]): bigint[] {
    const words = [...command];
    if (getField(words, COMMAND.OPCODE) === BigInt(OPCODE.CMD_RESUME)) {
      const tag = getField(words, CMD_RESUME.STAG);
      setField(words, CMD_RESUME.STAG, this.#tags.get(tag) ?? tag);
    }
    return words;
  }

  #event(line: EventLine): string | undefined {
    const { type, sid, pasid, address } = line;
    const spelled = type.replace(EVENT_PREFIX, "");
    const name = EVENT_ALIASES[spelled] ?? (spelled as EventName);
    const number = EVENT_NUMBER[name];
    if (number === undefined) return `${type} is no event of the architecture`;
    const wanted = architectureFaults(number, this.#dialect);
    const record = line.record ?? this.#takeRecord(number, sid, address);
    this.#written = undefined;
    for (const access of accesses(record)) {
      const outcome = provoke(this.#unit, this.#memory, { sid, pasid, address, access }, wanted);
      if (outcome.ok || !wanted.includes(outcome.code)) continue;
      return record && outcome.code === number ? this.#compare(name, record) : undefined;
    }
    return `no request of ${hex(sid)} makes ${name} at ${hex(address)}`;
  }

  /** The record that the guest was given for an event, if the capture kept it. */
  #takeRecord(number: number, sid: number, address: bigint): readonly bigint[] | undefined {
    const index = this.#records.findIndex((words) => {
      const event = decodeEvent(words);
      return event?.number === number && event.StreamID === sid && (event.InputAddr ?? address) === address;
    });
    return index < 0 ? undefined : this.#records.splice(index, 1)[0];
  }

  /**
   * Compares a record in the fields that the architecture gives it. (QEMU also fills the low bits of IPA,
   * the register model more of C_BAD_SUBSTREAMID than there is.)
   */
  #compare(name: string, recorded: readonly bigint[]): string | undefined {
    const event = decodeEvent(recorded);
    const written = this.#written;
    if (!event || !written) return compareWords(name, recorded, written);
    const tag = getField(written, EVENT.STAG);
    if (event.Stall) this.#tags.set(BigInt(event.STAG ?? 0), tag);
    return compareWords(name, encodeEvent({ ...event, ...(event.Stall ? { STAG: Number(tag) } : {}) }), written);
  }
}

/** What the transaction wanted, as far as its record tells. */
function accesses(record: readonly bigint[] | undefined): readonly Access[] {
  if (!record) return ["r", "w"];
  return [getField(record, EVENT.RnW) === 1n ? "r" : "w"];
}

/** An ID register without the features that are not modelled. */
function modelled(name: IdRegister, value: number): number {
  const words = [BigInt(value)];
  for (const { name: feature, field } of fieldsOf(ID_LAYOUTS[name])) {
    if (feature in NOT_MODELLED) setField(words, field, 0);
  }
  return Number(words[0]);
}
