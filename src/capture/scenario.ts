/**
 * Format "qvec-1": a scenario recorded on another emulator, one JSON object a line.
 *
 * What software did to memory and registers, what devices asked, what the recorder got, and what the
 * architecture says. Replaying it is the business of a `ScenarioTarget`; nothing here knows a vendor.
 */
import { InputError, Json } from "./input.ts";

export const SCENARIO_FORMAT = "qvec-1";

/** The architecture's answer to a DMA request through VT-d. */
export interface VtdVerdict {
  ok: boolean;
  /** ok: output address. */
  address: bigint | undefined;
  /** Not ok: VT-d fault reason, and others that the specification's open order allows as well. */
  codes: readonly number[];
  /** Not ok: a fault record is due. */
  recorded: boolean;
  /** The record's 128 bits, where the scenario gives them. */
  record: bigint | undefined;
}

/** ... and through SMMUv3. */
export interface SmmuVerdict {
  ok: boolean;
  /** ok: output address. */
  address: bigint | undefined;
  /** Not ok: the four words of the event that the fault makes; undefined where there is none. */
  event: readonly bigint[] | undefined;
  /** Not ok: the event is recorded. */
  recorded: boolean;
}

/** A DMA request, and what should become of it. */
export interface ScenarioRequest<V> {
  sid: number;
  address: bigint;
  write: boolean;
  length: number;
  expected: V;
  /** Stale: software changed memory and did not invalidate yet, so the old answer may stand too. */
  old: V | undefined;
  /** Nobody knows what is right here. */
  unsure: boolean;
}

export interface VtdScenarioRequest extends ScenarioRequest<VtdVerdict> {
  /** The answer if ECAP.RPS were 1. */
  withRidPasid: VtdVerdict | undefined;
  /** The recorder saw a fault record and cleared it afterwards. */
  recordCleared: boolean;
}

export interface SmmuScenarioRequest extends ScenarioRequest<SmmuVerdict> {
  /** Event records that the recorded machine wrote. */
  recordedEvents: number;
}

export type ScenarioOp<R> =
  | { op: "write"; offset: number; bytes: 4 | 8; value: bigint }
  /** `value` is what the architecture says (then it is `corrected`), else what the recorder read. */
  | { op: "read"; offset: number; bytes: 4 | 8; value: bigint; corrected: boolean }
  | { op: "memory"; address: bigint; words: readonly bigint[] }
  | { op: "memory-read"; address: bigint; value: number }
  | { op: "dma"; request: R };

interface ScenarioBase<R> {
  id: string;
  tags: readonly string[];
  ram: readonly { base: bigint; size: bigint }[];
  memory: readonly MemoryWords[];
  ops: readonly ScenarioOp<R>[];
  /** Words that the unit changed by the end. */
  memoryAfter: readonly MemoryWords[];
}

export interface VtdScenario extends ScenarioBase<VtdScenarioRequest> {
  iommu: "vtd";
  /** Host address width. */
  haw: number;
  cap: bigint;
  /** As the recorder read it. */
  ecap: bigint;
  /** What `expected` assumes. */
  architectureEcap: bigint;
}

export interface SmmuScenario extends ScenarioBase<SmmuScenarioRequest> {
  iommu: "smmuv3";
  idr0: number;
  idr1: number;
  idr3: number;
  idr5: number;
  /** Where the event queue will lie, and log2 of its records. */
  events: { base: bigint; log2Size: number };
}

export type Scenario = VtdScenario | SmmuScenario;

export interface MemoryWords {
  address: bigint;
  words: readonly bigint[];
}

/** What a scenario is played to. `at` names the operation in messages. */
export interface ScenarioTarget<R> {
  /** Software writes memory. */
  store(address: bigint, words: readonly bigint[]): void;
  /** Software writes a register. */
  write(offset: number, bytes: 4 | 8, value: bigint): void;
  /** Software reads a register and should see `value`; `corrected`: which the recorded machine got wrong. */
  read?(offset: number, bytes: 4 | 8, value: bigint, at: string, corrected: boolean): void;
  /** Software reads four bytes of memory and should see `value`. */
  readMemory?(address: bigint, value: number, at: string): void;
  request(request: R, at: string): void;
}

/** Performs a scenario: memory first, then one operation after the other. */
export function playScenario<R>(scenario: ScenarioBase<R>, target: ScenarioTarget<R>): void {
  for (const { address, words } of scenario.memory) target.store(address, words);
  for (const [i, op] of scenario.ops.entries()) {
    const at = `${scenario.id} op ${i}`;
    switch (op.op) {
      case "memory":
        target.store(op.address, op.words);
        break;
      case "write":
        target.write(op.offset, op.bytes, op.value);
        break;
      case "read":
        target.read?.(op.offset, op.bytes, op.value, at, op.corrected);
        break;
      case "memory-read":
        target.readMemory?.(op.address, op.value, at);
        break;
      case "dma":
        target.request(op.request, at);
    }
  }
}

/**
 * Reads the scenarios of a file, one by one.
 * @throws InputError naming line and place of the first thing that is wrong
 */
export function* parseScenarios(text: string, file: string): Generator<Scenario> {
  let found = false;
  for (const [i, line] of text.split("\n").entries()) {
    if (line.trim() === "") continue;
    found = true;
    yield parseScenario(Json.parse(`${file}: line ${i + 1}`, line));
  }
  if (!found) throw new InputError(file, "", "no scenario in it");
}

function parseScenario(json: Json): Scenario {
  const format = json.at("fmt");
  if (format.string() !== SCENARIO_FORMAT) format.refuse(`unknown format, expected "${SCENARIO_FORMAT}"`);
  const iommu = json.at("iommu").oneOf(["vtd", "smmuv3"] as const);
  if (iommu === "vtd") {
    return {
      iommu,
      ...parseBase(json, parseVtdRequest),
      haw: json.at("haw").count(52),
      cap: json.at("cap").hex(),
      ecap: json.at("ecap").hex(),
      architectureEcap: json.at("arch_ecap").hex(),
    };
  }
  const register = (name: string) => Number(json.at(name).hex(32));
  const [base, log2Size] = pair(json.at("eventq"));
  return {
    iommu,
    ...parseBase(json, parseSmmuRequest),
    idr0: register("idr0"),
    idr1: register("idr1"),
    idr3: register("idr3"),
    idr5: register("idr5"),
    events: { base: base.hex(52), log2Size: log2Size.count(19) },
  };
}

function parseBase<R>(json: Json, request: (json: Json) => R): ScenarioBase<R> {
  const list = (name: string) => json.at(name).items();
  return {
    id: json.at("id").string(),
    tags: list("tags").map((tag) => tag.string()),
    ram: list("ram").map((item) => {
      const [base, size] = pair(item);
      return { base: base.hex(52), size: size.hex(52) };
    }),
    memory: list("mem").map((item) => words(item.items())),
    ops: list("ops").map((op) => parseOp(op, request)),
    memoryAfter: list("mem_after").map((item) => words(item.items())),
  };
}

function pair(json: Json): readonly [Json, Json] {
  const [first, second] = json.items();
  return first && second ? [first, second] : json.refuse("is not a pair");
}

/** [address, word, word...]. */
function words([address, ...rest]: readonly Json[]): MemoryWords {
  return { address: (address as Json).hex(52), words: rest.map((word) => word.hex()) };
}

function parseOp<R>(json: Json, request: (json: Json) => R): ScenarioOp<R> {
  const items = json.items();
  const [name, first, second, third] = items;
  const kind = (name ?? json).oneOf(["w4", "w8", "r4", "r8", "mem", "rm4", "dma"] as const);
  if (!first) return json.refuse("is too short");
  if (kind === "mem") return { op: "memory", ...words(items.slice(1)) };
  if (kind === "dma") return { op: "dma", request: request(first) };
  const value = third ?? second;
  if (!second || !value) return json.refuse("is too short");
  if (kind === "rm4") return { op: "memory-read", address: first.hex(52), value: Number(value.hex(32)) };
  const bytes = kind.endsWith("4") ? 4 : 8;
  const access = { offset: Number(first.hex(32)), bytes, value: value.hex(8 * bytes) } as const;
  return kind.startsWith("w") ? { op: "write", ...access } : { op: "read", ...access, corrected: third !== undefined };
}

/** Marks of requests that nobody is sure of. */
const UNSURE = /^unsure:|^nested-other$/;

function parseRequest<V>(json: Json, verdict: (json: Json) => V): ScenarioRequest<V> {
  const reasons = json.at("diff").present ? json.at("diff").items() : [];
  return {
    sid: Number(json.at("sid").hex(32)),
    address: json.at("iova").hex(),
    write: json.at("w").count(1) === 1,
    length: json.at("len").count(4096),
    expected: verdict(json.at("arch")),
    old: json.at("arch_old").present ? verdict(json.at("arch_old")) : undefined,
    unsure: reasons.some((reason) => UNSURE.test(reason.string())),
  };
}

function parseVtdRequest(json: Json): VtdScenarioRequest {
  const withRidPasid = json.at("arch_rps1");
  return {
    ...parseRequest(json, parseVtdVerdict),
    withRidPasid: withRidPasid.present ? parseVtdVerdict(withRidPasid) : undefined,
    recordCleared: json.at("q").at("frcd").present,
  };
}

function parseVtdVerdict(json: Json): VtdVerdict {
  const ok = json.at("ok").boolean();
  if (ok) return { ok, address: json.at("gpa").hex(52), codes: [], recorded: false, record: undefined };
  const others = json.at("alts").present ? json.at("alts").items() : [];
  const [low, high] = json.at("frcd").present ? pair(json.at("frcd")) : [];
  return {
    ok,
    address: undefined,
    codes: [json.at("fr"), ...others].map((code) => Number(code.hex(8))),
    recorded: json.at("rec").boolean(),
    record: low && high && low.hex() | (high.hex() << 64n), // not a field: the high half
  };
}

function parseSmmuRequest(json: Json): SmmuScenarioRequest {
  const events = json.at("q").at("events");
  return { ...parseRequest(json, parseSmmuVerdict), recordedEvents: events.present ? events.items().length : 0 };
}

const EVENT_WORDS = 4;

function parseSmmuVerdict(json: Json): SmmuVerdict {
  const ok = json.at("ok").boolean();
  if (ok) return { ok, address: json.at("gpa").hex(52), event: undefined, recorded: false };
  const event = json.at("event");
  const words = event.present ? event.items().map((word) => word.hex()) : undefined;
  if (words && words.length !== EVENT_WORDS) event.refuse(`has ${words.length} words, not ${EVENT_WORDS}`);
  return { ok, address: undefined, event: words, recorded: words !== undefined && json.at("rec").boolean() };
}
