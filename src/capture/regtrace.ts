/**
 * A register trace: what a guest's driver read and wrote from reset to the pause, as JSON lines.
 *
 * Reads carry the value the recorder's IOMMU returned. Beside the accesses stand what was in the queues
 * when they were processed, and what reached the IOMMU from elsewhere: faults, page requests, interrupts.
 */
import { type Json, jsonLines } from "./input.ts";

/** A register access. */
export interface AccessLine<Op extends "read" | "write" = "read" | "write"> {
  op: Op;
  line: number;
  offset: number;
  size: 4 | 8;
  value: bigint;
  /** SMMUv3, a write of CMDQ_PROD: the commands it makes visible, two words each. */
  commands: readonly (readonly bigint[])[];
}

/** VT-d: an invalidation descriptor that the queue write before it made visible. */
export interface DescriptorLine {
  op: "inv";
  line: number;
  words: readonly bigint[];
}

/** VT-d: a DMA request that faulted. */
export interface FaultLine {
  op: "fault";
  line: number;
  sid: number;
  pasid: number | null;
  address: bigint;
  write: boolean;
  /** As the recorder numbers it. */
  fault: number;
}

/** SMMUv3: a transaction that made an event. */
export interface EventLine {
  op: "event";
  line: number;
  type: string;
  sid: number;
  pasid: number | null;
  address: bigint;
  /** The record, where the recorder kept it. */
  record: readonly bigint[] | undefined;
}

/** VT-d: a page request, as it was put into the page request queue. */
export interface PageRequestLine {
  op: "prq";
  line: number;
  words: readonly bigint[];
}

/** An interrupt message that the IOMMU sent. */
export interface MessageLine {
  op: "msi";
  line: number;
  address: bigint;
  data: number;
}

/** What the guest program is about to do, or has done. */
export interface MarkLine {
  op: "mark";
  line: number;
  text: string;
}

/** Everything that is no access of the guest: what was in a queue, or came from elsewhere. */
export type StimulusLine = DescriptorLine | FaultLine | EventLine | PageRequestLine | MessageLine | MarkLine;

export type TraceLine = AccessLine<"read"> | AccessLine<"write"> | StimulusLine;

const MAX_OFFSET = 0xff_ffff;
/** VT-d's source-ids, SMMUv3's StreamIDs. */
const MAX_SOURCE_ID = 0xffff;
const MAX_STREAM_ID = 0xffff_ffff;
const MAX_DATA = 0xffff_ffff;
const MAX_PASID = 0xfffff;
const OPERATIONS = ["read", "write", "inv", "fault", "event", "prq", "msi", "mark"] as const;

/** Reads a trace. @throws InputError naming file, line and member */
export function parseTrace(text: string, file: string): TraceLine[] {
  return jsonLines(file, text).map(({ json, line }) => parseLine(json, line));
}

function parseLine(json: Json, line: number): TraceLine {
  const op = json.at("op").oneOf(OPERATIONS);
  switch (op) {
    case "read":
      return parseAccess(json, op, line);
    case "write":
      return parseAccess(json, op, line);
    case "inv":
    case "prq":
      return { op, line, words: ["lo", "hi", "lo2", "hi2"].map((name) => word(json.at(name))) };
    case "fault":
      return { op, line, ...requester(json, MAX_SOURCE_ID), address: json.at("addr").hex(), ...faultOf(json) };
    case "event": {
      const raw = json.at("raw");
      const record = raw.present ? raw.items().map((item) => item.hex()) : undefined;
      const from = requester(json, MAX_STREAM_ID);
      return { op, line, ...from, type: json.at("type").string(), address: json.at("iova").hex(), record };
    }
    case "msi":
      return { op, line, address: json.at("addr").hex(), data: json.at("data").count(MAX_DATA) };
    case "mark":
      return { op, line, text: json.at("text").string() };
  }
}

function parseAccess<Op extends "read" | "write">(json: Json, op: Op, line: number): AccessLine<Op> {
  const size = json.at("size").count(8);
  if (size !== 4 && size !== 8) return json.at("size").refuse(`${size} is neither 4 nor 8`);
  const offset = Number(json.at("off").hex(32));
  if (offset > MAX_OFFSET || offset % 4 !== 0) json.at("off").refuse("not the offset of a register");
  const cmds = json.at("cmds");
  const commands = cmds.present ? cmds.items().map((item) => item.items().map((part) => part.hex())) : [];
  return { op, line, offset, size, value: json.at("value").hex(8 * size), commands };
}

function requester(json: Json, maxSid: number): { sid: number; pasid: number | null } {
  // The SMMU's traces say ssid, VT-d's pasid.
  const pasid = [json.at("pasid"), json.at("ssid")].find((member) => member.present);
  return { sid: json.at("sid").count(maxSid), pasid: pasid?.count(MAX_PASID) ?? null };
}

function faultOf(json: Json): { write: boolean; fault: number } {
  const write = json.at("write");
  return { write: write.isNumber ? write.count(1) === 1 : write.boolean(), fault: json.at("fault").count(0xff) };
}

/** Words that are zero may be left out. */
function word(json: Json): bigint {
  return json.present ? json.bits() : 0n;
}
