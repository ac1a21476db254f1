/** Event records, Arm IHI 0070 7.3: which fields each has, from values to words and back. */
import { EVENT_NUMBER } from "../../assembly/layout/smmuv3-faults.ts";
import {
  E_PAGE_REQUEST,
  EVENT,
  EVENT_BYTES,
  EVENT_CONFLICT,
  EVENT_FETCH,
  F_BAD_ATS_TREQ,
} from "../../assembly/layout/smmuv3-queues.ts";
import { fieldsOf, getField, getInPlace, type Layout, setField } from "../structure.ts";

/**
 * What an event tells. Only the fields of the record that `number` names are written; what is absent
 * reads 0. Addresses are whole, the record keeps the bits that its field has.
 */
export interface SmmuEvent {
  number: number;
  StreamID: number;
  /** Absent or null: the transaction had none (SSV = 0). */
  SubstreamID?: number | null;
  /** Stalled, and under which tag. */
  Stall?: boolean;
  STAG?: number;
  PnU?: boolean;
  InD?: boolean;
  RnW?: boolean;
  S2?: boolean;
  CLASS?: number;
  TTRnW?: boolean;
  InputAddr?: bigint;
  IPA?: bigint;
  FetchAddr?: bigint;
  Reason?: number;
  /** F_BAD_ATS_TREQ: translations asked for; E_PAGE_REQUEST: pages of 4 KiB. */
  Span?: number;
  /** F_BAD_ATS_TREQ. */
  Read?: boolean;
  Write?: boolean;
  Exec?: boolean;
  Priv?: boolean;
  /** E_PAGE_REQUEST: unprivileged and privileged accesses to come. */
  uR?: boolean;
  uW?: boolean;
  uX?: boolean;
  pR?: boolean;
  pW?: boolean;
  pX?: boolean;
}

type FieldName = Exclude<keyof SmmuEvent, "number"> | "SSV";
type Fields = readonly [layout: Layout, ...names: FieldName[]];

const ACCESS = [EVENT, "PnU", "InD", "RnW", "InputAddr"] as const;
const SUBSTREAM: Fields = [EVENT, "SSV", "SubstreamID"];
const FAULT: Fields = [EVENT, "STAG", "Stall", "S2", "CLASS", "IPA"];
const FETCH: Fields = [EVENT_FETCH, "Reason", "FetchAddr"];
const CONFLICT: Fields = [EVENT_CONFLICT, "Reason"];

/** Every record: its fields beyond number and StreamID, by the layout they come from. */
const RECORDS: Readonly<Record<number, readonly Fields[]>> = {
  [EVENT_NUMBER.F_UUT]: [SUBSTREAM, ACCESS, [EVENT_FETCH, "Reason"]],
  [EVENT_NUMBER.C_BAD_STREAMID]: [SUBSTREAM],
  [EVENT_NUMBER.F_STE_FETCH]: [SUBSTREAM, FETCH],
  [EVENT_NUMBER.C_BAD_STE]: [SUBSTREAM],
  [EVENT_NUMBER.F_BAD_ATS_TREQ]: [SUBSTREAM, [F_BAD_ATS_TREQ, "Span", "Priv", "Exec", "Write", "Read", "InputAddr"]],
  [EVENT_NUMBER.F_STREAM_DISABLED]: [],
  [EVENT_NUMBER.F_TRANSL_FORBIDDEN]: [[EVENT, "RnW", "InputAddr"]],
  [EVENT_NUMBER.C_BAD_SUBSTREAMID]: [[EVENT, "SubstreamID"]],
  [EVENT_NUMBER.F_CD_FETCH]: [SUBSTREAM, FETCH],
  [EVENT_NUMBER.C_BAD_CD]: [SUBSTREAM],
  [EVENT_NUMBER.F_WALK_EABT]: [SUBSTREAM, ACCESS, [EVENT, "S2", "CLASS"], FETCH],
  [EVENT_NUMBER.F_TRANSLATION]: [SUBSTREAM, ACCESS, FAULT],
  [EVENT_NUMBER.F_ADDR_SIZE]: [SUBSTREAM, ACCESS, FAULT],
  [EVENT_NUMBER.F_ACCESS]: [SUBSTREAM, ACCESS, FAULT],
  [EVENT_NUMBER.F_PERMISSION]: [SUBSTREAM, ACCESS, FAULT, [EVENT, "TTRnW"]],
  [EVENT_NUMBER.F_TLB_CONFLICT]: [SUBSTREAM, ACCESS, [EVENT, "S2", "IPA"], CONFLICT],
  [EVENT_NUMBER.F_CFG_CONFLICT]: [SUBSTREAM, CONFLICT],
  [EVENT_NUMBER.E_PAGE_REQUEST]: [SUBSTREAM, [E_PAGE_REQUEST, "uX", "uW", "uR", "pX", "pW", "pR", "Span", "InputAddr"]],
  [EVENT_NUMBER.F_VMS_FETCH]: [SUBSTREAM, FETCH],
};

const WORDS = EVENT_BYTES / 8;

/** The four words of a record. @throws RangeError for a number that is no event, or a value too wide */
export function encodeEvent(event: SmmuEvent): bigint[] {
  const record = RECORDS[event.number];
  if (!record) throw new RangeError(`number: ${event.number} is no event`);
  const words = new Array<bigint>(WORDS).fill(0n);
  setField(words, EVENT.Number, event.number);
  setField(words, EVENT.StreamID, event.StreamID);
  for (const [layout, ...names] of record) {
    for (const name of names) setField(words, fieldOf(layout, name), bitsOf(event, layout, name));
  }
  return words;
}

/** What a record says; undefined for a number that is no event. */
export function decodeEvent(words: readonly bigint[]): SmmuEvent | undefined {
  const number = Number(getField(words, EVENT.Number));
  const record = RECORDS[number];
  if (!record) return undefined;
  const event: Record<string, unknown> = { number, StreamID: Number(getField(words, EVENT.StreamID)) };
  for (const [layout, ...names] of record) {
    for (const name of names) {
      const field = fieldOf(layout, name);
      if (ADDRESSES.has(name)) event[name] = getInPlace(words, field);
      else event[name] = isFlag(layout, name) ? getField(words, field) === 1n : Number(getField(words, field));
    }
  }
  const { SSV, ...rest } = event;
  if (SSV === false) rest.SubstreamID = null;
  return rest as unknown as SmmuEvent;
}

/** The fields of a record, by the number of its event; undefined for a number that is no event. */
export function eventLayout(number: number): Layout | undefined {
  const record = RECORDS[number];
  if (!record) return undefined;
  const names = record.flatMap(([layout, ...fields]) => fields.map((name) => [name, layout[name]]));
  return { Number: EVENT.Number, StreamID: EVENT.StreamID, ...Object.fromEntries(names) };
}

const ADDRESSES: ReadonlySet<string> = new Set(["InputAddr", "IPA", "FetchAddr"]);

function fieldOf(layout: Layout, name: string): number {
  return layout[name] as number;
}

function infoOf(layout: Layout, name: string): { msb: number; lsb: number } {
  return fieldsOf(layout).find((field) => field.name === name) as { msb: number; lsb: number };
}

function isFlag(layout: Layout, name: string): boolean {
  const { msb, lsb } = infoOf(layout, name);
  return msb === lsb;
}

function bitsOf(event: SmmuEvent, layout: Layout, name: FieldName): bigint {
  if (name === "SSV") return typeof event.SubstreamID === "number" ? 1n : 0n;
  const value = event[name] ?? 0;
  if (typeof value !== "bigint") return BigInt(value);
  // An address: the bits that the field has, at their places.
  const { msb, lsb } = infoOf(layout, name);
  return BigInt.asUintN(msb - lsb + 1, value >> BigInt(lsb % WORD_BITS));
}

const WORD_BITS = 64;
