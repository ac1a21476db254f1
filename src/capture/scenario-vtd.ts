/**
 * Plays recorded scenarios to a VT-d unit, operation by operation, and compares what it does with what
 * the architecture says.
 *
 * The unit is reached as its guest and its devices reach it: registers, memory, requests. Where the
 * recording says that an answer may be stale, the old one is right as well.
 */

import { CAP, ECAP } from "../../assembly/layout/vtd-capabilities.ts";
import { REASON } from "../../assembly/layout/vtd-faults.ts";
import {
  CCMD,
  EVENT_CTL,
  FRCD,
  FSTS,
  GCMD,
  IOTLB_REG,
  IOTLB_REG_OFFSET,
  OFFSET_UNIT,
  REG,
} from "../../assembly/layout/vtd-registers.ts";
import { hex } from "../check.ts";
import type { Outcome, Request } from "../iommu.ts";
import { GuestMemory } from "../memory.ts";
import { getBits, maskOf, putBits } from "../structure.ts";
import { VtdCapabilities } from "../vtd/capabilities.ts";
import { VtdUnit, type VtdUnitOptions } from "../vtd/index.ts";
import { VtdWalker } from "../vtd/walker.ts";
import { SparsePages } from "./pages.ts";
import {
  playScenario,
  type ScenarioTarget,
  type VtdScenario,
  type VtdScenarioRequest,
  type VtdVerdict,
} from "./scenario.ts";
import { emptyReport, type ScenarioDifference, type ScenarioReport } from "./scenario-report.ts";

export interface VtdScenarioOptions {
  /** Let ECAP.RPS be 1, and expect what the scenario says of that; requests without such an answer are left out. */
  ridPasid?: boolean;
  unit?: Omit<VtdUnitOptions, "capabilities" | "onInterrupt" | "virtualCommands">;
}

/** Version 1.0, which the recorded machine reports. */
const VERSION = 0x10n;

const HALF = 64n;
/** F, and where it is written: in the last dword of a record. */
const LAST_DWORD = 12;
const CLEAR = maskOf(FRCD.F) >> BigInt(8 * LAST_DWORD);

/** Plays one VT-d scenario to a new unit. */
export function runVtdScenario(scenario: VtdScenario, options: VtdScenarioOptions = {}): ScenarioReport {
  const run = new VtdRun(scenario, options);
  playScenario(scenario, run);
  return run.report;
}

class VtdRun implements ScenarioTarget<VtdScenarioRequest> {
  readonly report: ScenarioReport = emptyReport();
  readonly #scenario: VtdScenario;
  readonly #ecap: bigint;
  readonly #ridPasid: boolean;
  readonly #memory: GuestMemory;
  readonly #unit: VtdUnit;
  /** What software wrote, without the unit's accessed and dirty bits. */
  readonly #written = new SparsePages();
  readonly #frcd: number;
  readonly #iotlb: number;
  #rtaddr = 0n;

  constructor(scenario: VtdScenario, { ridPasid = false, unit = {} }: VtdScenarioOptions) {
    const { cap, architectureEcap, haw, ram } = scenario;
    this.#scenario = scenario;
    this.#ridPasid = ridPasid;
    this.#ecap = putBits(architectureEcap, ECAP.RPS, ridPasid ? 1 : getBits(architectureEcap, ECAP.RPS));
    this.#frcd = Number(getBits(cap, CAP.FRO)) * OFFSET_UNIT;
    this.#iotlb = Number(getBits(this.#ecap, ECAP.IRO)) * OFFSET_UNIT + IOTLB_REG_OFFSET;
    this.#memory = memoryOf(new SparsePages(), ram);
    const capabilities = VtdCapabilities.asFound({ ver: VERSION, cap, ecap: this.#ecap }, haw);
    this.#unit = new VtdUnit(this.#memory, { ...unit, capabilities });
  }

  store(address: bigint, words: readonly bigint[]): void {
    for (const [i, word] of words.entries()) {
      const at = address + BigInt(8 * i);
      this.#memory.write64(at, word);
    }
    this.#written.write(address, new Uint8Array(BigUint64Array.from(words).buffer));
  }

  write(offset: number, bytes: 4 | 8, value: bigint): void {
    if (offset === REG.GCMD && getBits(value, GCMD.SRTP)) this.#rtaddr = this.#unit.mmio.read(REG.RTADDR, 8);
    this.#unit.mmio.write(offset, bytes, value);
  }

  read(offset: number, bytes: 4 | 8, value: bigint, at: string): void {
    // The architecture's answers assume capabilities that the recorded machine does not report.
    const expected = offset === REG.ECAP && bytes === 8 ? this.#ecap : value;
    const found = this.#unit.mmio.read(offset, bytes);
    this.#compare("register", hex(expected), hex(found), at, this.#permittedRead(offset, expected, found));
  }

  readMemory(address: bigint, value: number, at: string): void {
    this.#compare("memory", hex(value), hex(this.#memory.read32(address)), at);
  }

  request(request: VtdScenarioRequest, at: string): void {
    const expected = this.#ridPasid ? request.withRidPasid : request.expected;
    const asked: Request = { sid: request.sid, address: request.address, access: request.write ? "w" : "r" };
    const outcome = this.#unit.translate(asked);
    const record = this.#takeRecord(request.recordCleared);
    if (!expected) return;
    this.report.requests++;
    if (request.unsure) {
      this.report.unsure++;
      return;
    }
    const permitted = request.old && !this.#ridPasid ? [expected, request.old] : [expected];
    const found = show(outcome, record);
    if (permitted.some((verdict) => wordings(verdict).includes(found))) {
      this.report.agree++;
      return;
    }
    const difference: ScenarioDifference = {
      at,
      what: "request",
      expected: permitted.map((verdict) => wordings(verdict)[0]).join(" or "),
      found,
    };
    if (outcome.ok && this.#owedBefore(expected, asked)) {
      this.report.agree++;
      this.report.corrected.push({ ...difference, because: "SFS.9: an earlier request has made the update" });
      return;
    }
    this.report.differ++;
    this.report.differences.push(difference);
  }

  #compare(what: "register" | "memory", expected: string, found: string, at: string, because?: string): void {
    this.report.reads++;
    if (expected === found) return;
    if (because !== undefined) {
      this.report.corrected.push({ at, what, expected, found, because });
      return;
    }
    this.report.readsDiffer++;
    this.report.differences.push({ at, what, expected, found });
  }

  /** Why a register may read otherwise than it was recorded, if it may. */
  #permittedRead(offset: number, recorded: bigint, found: bigint): string | undefined {
    if (offset === REG.FECTL && putBits(recorded, EVENT_CTL.IP, 0) === found) {
      const causes = this.#unit.mmio.read(REG.FSTS, 4) & ~maskOf(FSTS.FRI);
      return causes === 0n ? "fault event: IP clears with its last cause" : undefined;
    }
    const commands: [number, number, number][] = [
      [REG.CCMD, CCMD.CIRG, CCMD.CAIG],
      [this.#iotlb, IOTLB_REG.IIRG, IOTLB_REG.IAIG],
    ];
    for (const [register, asked, done] of commands) {
      if (offset !== register || putBits(recorded, done, 0) !== putBits(found, done, 0)) continue;
      const granularity = getBits(found, done);
      if (granularity > 0n && granularity <= getBits(found, asked)) return "done as asked, or wider";
    }
    return undefined;
  }

  /** What a fault handler does: read the record, clear it. The recorder's clearing writes are made in any case. */
  #takeRecord(cleared: boolean): bigint | undefined {
    const { mmio } = this.#unit;
    const pending = getBits(mmio.read(REG.FSTS, 4), FSTS.PPF) === 1n;
    const record = mmio.read(this.#frcd, 8) | (mmio.read(this.#frcd + 8, 8) << HALF);
    if (pending || cleared) mmio.write(this.#frcd + LAST_DWORD, 4, CLEAR);
    return pending ? record : undefined;
  }

  /**
   * The recorded answers take accessed and dirty bits as software wrote them. They say 90h, an update is
   * owed and the walk is not snooped, also where an earlier request through a snooped entry has made the
   * update already. Rev. 5.10, SFS.9 is about updates that are needed. True when that explains the answer.
   */
  #owedBefore(expected: VtdVerdict, asked: Request): boolean {
    const { cap, haw, ram } = this.#scenario;
    const registers = { cap, ecap: this.#ecap, version: Number(VERSION), rtaddr: this.#rtaddr };
    const walker = new VtdWalker(memoryOf(this.#written, ram), { ...registers, haw });
    const outcome = walker.translate({ ...asked, probe: true });
    return !outcome.ok && outcome.code === REASON.SFS_9 && expected.codes.includes(outcome.code);
  }
}

/** RAM of the recorded machine. */
function memoryOf(host: SparsePages, ram: VtdScenario["ram"]): GuestMemory {
  return new GuestMemory({ ram: ram.map((range) => ({ ...range, host })) });
}

/** A request's fate in words that can be compared. */
function show(outcome: Outcome, record: bigint | undefined): string {
  if (outcome.ok) return record ? `ok ${hex(outcome.address)}, yet a record` : `ok ${hex(outcome.address)}`;
  if (!record) return `fault ${hex(outcome.code)}, no record`;
  return `fault ${hex(outcome.code)}, record ${hex(record)}`;
}

/** All that a verdict permits, in the words of `show`. */
function wordings({ ok, address, codes, recorded, record }: VtdVerdict): string[] {
  if (ok) return [`ok ${hex(address ?? 0n)}`];
  return codes.map((code) => {
    if (!recorded || !record) return `fault ${hex(code)}, no record`;
    return `fault ${hex(code)}, record ${hex(putBits(record, FRCD.FR, code))}`;
  });
}
