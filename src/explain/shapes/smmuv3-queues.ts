/** What stands in the SMMUv3's queues, in plain words: events (IHI 0070 7.3), commands (4), PRI entries (8). */
import { PRI } from "../../../assembly/layout/smmuv3-queues.ts";
import { hex } from "../../check.ts";
import { commandLayout, commandName } from "../../smmuv3/commands.ts";
import { eventLayout } from "../../smmuv3/event-record.ts";
import { eventMeaning, eventName } from "../../smmuv3/names.ts";
import { fieldsOf } from "../../structure.ts";
import { choice, type Meaning, type Shape, yes } from "../shape.ts";

const SID: Meaning = (value) => `stream ${hex(value)}`;
const GRANULE = choice("no range", "4 KiB", "16 KiB", "64 KiB");

const EVENT_MEANINGS: Readonly<Record<string, Meaning>> = {
  Number: (value) => eventName(Number(value)),
  StreamID: SID,
  SSV: yes("the transaction had a SubstreamID", "no SubstreamID"),
  SubstreamID: "SubstreamID (PASID), with SSV = 1",
  STAG: "tag of the stalled transaction",
  Stall: yes("stalled: CMD_RESUME must end it", "terminated"),
  PnU: yes("privileged", "unprivileged"),
  InD: yes("instruction fetch", "data"),
  RnW: yes("read", "write"),
  S2: yes("stage 2 faulted", "stage 1 faulted"),
  CLASS: choice("while reading a CD", "while reading a translation table", "the input address itself", "reserved"),
  TTRnW: yes("the table read faulted", "the table write (A or D update) faulted"),
  InputAddr: "address that the device used",
  IPA: "intermediate address, with S2 = 1",
  FetchAddr: "what could not be read",
  Reason: "IMPLEMENTATION DEFINED",
  Span: "size of what was asked for",
  Read: "reading asked",
  Write: "writing asked",
  Exec: "executing asked",
  Priv: "privileged",
  uR: "unprivileged read to come",
  uW: "unprivileged write to come",
  uX: "unprivileged execute to come",
  pR: "privileged read to come",
  pW: "privileged write to come",
  pX: "privileged execute to come",
};

/** The shape of an event record; undefined for a number that is no event. */
export function eventShape(number: number): Shape | undefined {
  const record = eventLayout(number);
  if (!record) return undefined;
  const layout = Object.fromEntries(
    fieldsOf(record)
      .sort((a, b) => a.lsb - b.lsb)
      .map(({ name, field }) => [name, field]),
  );
  return {
    title: `Event record ${eventName(number)} (${hex(number, 2)})`,
    purpose: eventMeaning(number),
    layout,
    addresses: ["InputAddr", "IPA", "FetchAddr"],
    always: ["Number", "StreamID", "RnW", "S2", "CLASS", "InputAddr"],
    meanings: EVENT_MEANINGS,
  };
}

const COMMAND_MEANINGS: Readonly<Record<string, Meaning>> = {
  SSec: "Secure stream: illegal in the Non-secure queue",
  SSV: yes("for one SubstreamID", "no SubstreamID"),
  SubstreamID: "SubstreamID (PASID)",
  StreamID: SID,
  Leaf: yes("leaf entries only", "all levels"),
  Range: (value) => (value === 31n ? "every stream" : `2^${value + 1n} streams`),
  VMID: "tag of the virtual machine",
  ASID: "tag of the address space",
  NUM: "range: number, minus 1",
  SCALE: "range: scale",
  TTL: choice("any level", "level 1", "level 2", "level 3"),
  TG: GRANULE,
  Address: "address",
  Addr: "address",
  IPA: "intermediate address",
  Size: (value) => `2^${value} pages of 4 KiB`,
  Global: "for every SubstreamID",
  PRGIndex: "page request group",
  Resp: choice("failure", "invalid request", "success", "reserved"),
  Ac: yes("retry the transaction", "end the transaction"),
  Ab: yes("ended by an abort", "ended as RAZ/WI"),
  STAG: "tag of the stalled transaction",
  CS: choice("no signal when done", "writes MSIData to MSIAddress when done", "SEV when done", "reserved"),
  MSIData: "what is written",
  MSIAddress: "where it is written",
};

/** The shape of a command; undefined for an opcode that is no command. */
export function commandShape(words: readonly bigint[], opcode: number): Shape | undefined {
  const layout = commandLayout(opcode);
  if (!layout) return undefined;
  return {
    title: `Command ${commandName(words)}`,
    purpose: "from software to the SMMU",
    layout,
    addresses: ["Address", "Addr", "IPA", "MSIAddress"],
    always: ["OPCODE", "StreamID"],
    meanings: { ...COMMAND_MEANINGS, OPCODE: commandName(words) },
  };
}

export const PRI_SHAPE: Shape = {
  title: "PRI queue entry",
  purpose: "a device asks software for a page",
  layout: PRI,
  addresses: ["Addr"],
  always: ["StreamID", "SSV", "R", "W", "Last", "Addr"],
  meanings: {
    StreamID: SID,
    SubstreamID: "SubstreamID (PASID), with SSV = 1",
    Priv: "privileged",
    X: "wants to execute",
    R: yes("wants to read", "no read asked"),
    W: yes("wants to write", "no write asked"),
    Last: yes("last of its group: expects a response", "more of this group follow"),
    SSV: yes("carries a PASID", "no PASID"),
    PRGIndex: "page request group",
    Addr: "page that is wanted",
  },
};
