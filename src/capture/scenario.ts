/**
 * Format "qvec-1": a scenario recorded on another emulator, one JSON object a line.
 *
 * What software did to memory and registers, what devices asked, what the recorder got, and what the
 * architecture says. Replaying it is the business of a `ScenarioTarget`; nothing here knows a vendor.
 */
import { InputError, Json } from "./input.ts";

export const SCENARIO_FORMAT = "qvec-1";

/** The architecture's answer to a DMA request. */
export interface Verdict {
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

export interface ScenarioRequest {
  sid: number;
  address: bigint;
  write: boolean;
  length: number;
  expected: Verdict;
  /** Stale: software changed memory and did not invalidate yet, so the old answer may stand too. */
  old: Verdict | undefined;
  /** The answer if ECAP.RPS were 1. */
  withRidPasid: Verdict | undefined;
  /** Nobody knows what is right here. */
  unsure: boolean;
  /** The recorder saw a fault record and cleared it afterwards. */
  recordCleared: boolean;
}

export type ScenarioOp =
  | { op: "write"; offset: number; bytes: 4 | 8; value: bigint }
  /** `value` is what the architecture says, else what the recorder read. */
  | { op: "read"; offset: number; bytes: 4 | 8; value: bigint }
  | { op: "memory"; address: bigint; words: readonly bigint[] }
  | { op: "memory-read"; address: bigint; value: number }
  | { op: "dma"; request: ScenarioRequest };

export interface Scenario {
  id: string;
  iommu: "vtd";
  tags: readonly string[];
  /** Host address width. */
  haw: number;
  cap: bigint;
  /** As the recorder read it. */
  ecap: bigint;
  /** What `expected` assumes. */
  architectureEcap: bigint;
  ram: readonly { base: bigint; size: bigint }[];
  memory: readonly MemoryWords[];
  ops: readonly ScenarioOp[];
  /** Words that the unit changed by the end. */
  memoryAfter: readonly MemoryWords[];
}

export interface MemoryWords {
  address: bigint;
  words: readonly bigint[];
}

/** What a scenario is played to. `at` names the operation in messages. */
export interface ScenarioTarget {
  /** Software writes memory. */
  store(address: bigint, words: readonly bigint[]): void;
  /** Software writes a register. */
  write(offset: number, bytes: 4 | 8, value: bigint): void;
  /** Software reads a register and should see `value`. */
  read?(offset: number, bytes: 4 | 8, value: bigint, at: string): void;
  /** Software reads four bytes of memory and should see `value`. */
  readMemory?(address: bigint, value: number, at: string): void;
  request(request: ScenarioRequest, at: string): void;
}

/** Performs a scenario: memory first, then one operation after the other. */
export function playScenario(scenario: Scenario, target: ScenarioTarget): void {
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
        target.read?.(op.offset, op.bytes, op.value, at);
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
  return {
    id: json.at("id").string(),
    iommu: json.at("iommu").oneOf(["vtd"] as const),
    tags: json
      .at("tags")
      .items()
      .map((tag) => tag.string()),
    haw: json.at("haw").count(52),
    cap: json.at("cap").hex(),
    ecap: json.at("ecap").hex(),
    architectureEcap: json.at("arch_ecap").hex(),
    ram: json
      .at("ram")
      .items()
      .map((item) => {
        const [base, size] = pair(item);
        return { base: base.hex(52), size: size.hex(52) };
      }),
    memory: json
      .at("mem")
      .items()
      .map((item) => words(item.items())),
    ops: json.at("ops").items().map(parseOp),
    memoryAfter: json
      .at("mem_after")
      .items()
      .map((item) => words(item.items())),
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

function parseOp(json: Json): ScenarioOp {
  const items = json.items();
  const [name, first, second, third] = items;
  const kind = (name ?? json).oneOf(["w4", "w8", "r4", "r8", "mem", "rm4", "dma"] as const);
  if (!first) return json.refuse("is too short");
  if (kind === "mem") return { op: "memory", ...words(items.slice(1)) };
  if (kind === "dma") return { op: "dma", request: parseRequest(first) };
  const value = third ?? second;
  if (!second || !value) return json.refuse("is too short");
  if (kind === "rm4") return { op: "memory-read", address: first.hex(52), value: Number(value.hex(32)) };
  const bytes = kind.endsWith("4") ? 4 : 8;
  const op = kind.startsWith("w") ? "write" : "read";
  return { op, offset: Number(first.hex(32)), bytes, value: value.hex(8 * bytes) };
}

function parseRequest(json: Json): ScenarioRequest {
  const optional = (name: string) => (json.at(name).present ? parseVerdict(json.at(name)) : undefined);
  const reasons = json.at("diff").present ? json.at("diff").items() : [];
  return {
    sid: Number(json.at("sid").hex(32)),
    address: json.at("iova").hex(),
    write: json.at("w").count(1) === 1,
    length: json.at("len").count(4096),
    expected: parseVerdict(json.at("arch")),
    old: optional("arch_old"),
    withRidPasid: optional("arch_rps1"),
    unsure: reasons.some((reason) => reason.string().startsWith("unsure:")),
    recordCleared: json.at("q").at("frcd").present,
  };
}

function parseVerdict(json: Json): Verdict {
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
