/** QEMU's SMMUv3 and ours, through the same random scripts. */
import { type Outcome, SmmuWalker } from "../../../src/index.ts";
import { Smmuv3 } from "../../../src/smmuv3/index.ts";
import { command } from "./qtest.ts";
import { MachineMemory } from "./ram.ts";
import { Random } from "./random.ts";
import type { Report } from "./report.ts";
import { type Fate, fateOf, SmmuDialect, showEvent, showFate } from "./smmu-dialect.ts";
import { DEVICES, RAM, type SmmuMachine, startSmmu, UNIT } from "./smmu-machine.ts";
import { EVENTS, isTablePage, makeSmmuScript, REQUESTS, type SmmuScript } from "./smmu-script.ts";
import { dmaWrite, FATE } from "./testdev.ts";

/** Machine, then globals. */
const CONFIGURATIONS = [
  "virt,iommu=smmuv3",
  "virt-8.2,iommu=smmuv3 arm-smmuv3.stage=1",
  "virt-8.2,iommu=smmuv3 arm-smmuv3.stage=2",
  "virt,iommu=smmuv3",
];

const EVENTQ_PROD = UNIT + 0x1_00a8n;
const INDEX = 0x3fn;
const EVENT_BYTES = 32;
/** STRTAB_BASE_CFG.FMT. */
const TWO_LEVEL = 1 << 16;

export async function compareSmmu(seed: number, requests: number, report: Report): Promise<void> {
  for (const [i, machineOptions] of CONFIGURATIONS.entries()) {
    const random = new Random(seed + 100 + i);
    const buses = [1 + random.below(7), 8 + random.below(8)];
    // QEMU forgets no two-level table: where linear ones follow, they are another machine's.
    const runs = new Map<boolean, SmmuRun>();
    const runFor = async (twoLevel: boolean): Promise<SmmuRun> => {
      const run = runs.get(twoLevel) ?? new SmmuRun(await startSmmu(machineOptions, buses), machineOptions, report);
      runs.set(twoLevel, run);
      return run;
    };
    const until = report.requests + requests / CONFIGURATIONS.length;
    while (report.requests < until) {
      const { machine, sids } = await runFor(false);
      const script = makeSmmuScript(random, machine, sids);
      const twoLevel = (script.state.strtabBaseCfg & TWO_LEVEL) !== 0;
      const run = await runFor(twoLevel);
      try {
        await run.play(script);
      } catch (error) {
        // A script that led QEMU to an entry that it ends itself on; a new one goes on with the next script.
        if (!(error as Error).message.includes("oas2bits")) throw error;
        report.ended++;
        await run.machine.qtest.stop();
        runs.delete(twoLevel);
      }
    }
    for (const { machine } of runs.values()) await machine.qtest.stop();
  }
}

class SmmuRun {
  readonly machine: SmmuMachine;
  readonly #options: string;
  readonly #report: Report;
  readonly #memory = new MachineMemory(RAM, DEVICES);
  readonly #unit: Smmuv3;
  readonly #walker: SmmuWalker;
  readonly sids: readonly number[];

  constructor(machine: SmmuMachine, options: string, report: Report) {
    this.machine = machine;
    this.#options = options;
    this.#report = report;
    this.sids = machine.devices.map(({ sid }) => sid);
    const { ids } = machine;
    this.#unit = new Smmuv3(this.#memory.guest, { ids });
    const idrs = { idr0: ids.IDR0, idr1: ids.IDR1, idr5: ids.IDR5 };
    this.#walker = new SmmuWalker(this.#memory.guest, { ...idrs, cr0: 0, strtabBase: 0n, strtabBaseCfg: 0 });
  }

  async play(script: SmmuScript): Promise<void> {
    const { qtest } = this.machine;
    const isRam = (at: bigint) => this.#memory.isRam(at);
    const commands = this.#load(script);
    const asked: { text: string; sid: number; address: bigint; predicted: Fate; departures: string[] }[] = [];
    const dialect = new SmmuDialect(this.#memory.guest, script.state, this.#walker, isRam);
    for (const { sid, address } of script.requests) {
      this.#memory.touchedDevices = false;
      const outcome = this.#unit.translate({ sid, address, access: "w" });
      const architecture = fateOf({ sid, address }, outcome, isRam);
      const { fate, departures, target, leftOut } = dialect.predict({ sid, address });
      const reason = leftOut ?? this.#unfit(outcome, target);
      if (reason !== undefined) {
        this.#report.leave(reason);
        continue;
      }
      asked.push({ text: showFate(architecture), sid, address, predicted: fate, departures });
      commands.push(...this.#request(sid, address, fate));
    }
    for (let at = 0; at < REQUESTS * EVENT_BYTES; at += 8) commands.push(command.read64(EVENTS + BigInt(at)));
    const answers = await qtest.batch(commands);
    const records = answers.slice(-REQUESTS * (EVENT_BYTES / 8));
    const results = answers.slice(answers.length - records.length - asked.length * PER_REQUEST);
    let seen = 0n;
    asked.forEach(({ text, sid, address, predicted, departures }, i) => {
      const [fate = -1n, prod = 0n] = results.slice(i * PER_REQUEST + RESULT);
      const events: bigint[][] = [];
      for (; seen !== (prod & INDEX); seen++) events.push(records.slice(Number(seen) * 4, Number(seen) * 4 + 4));
      const observed = observe(fate, events, predicted);
      const what = `sid 0x${sid.toString(16)} address 0x${address.toString(16)}: architecture ${text}; expected of QEMU ${showFate(predicted)} (${departures.join(", ")}); QEMU ${observed}`;
      this.#report.count(observed, showFate(predicted), departures, () => this.#describe(script, what, sid, address));
    });
  }

  #load({ words, setUp }: SmmuScript): string[] {
    const memory = this.#memory;
    const commands = memory.forget().map((address) => command.write64(address, 0n));
    for (const [address, word] of words) {
      if (!memory.isRam(address)) continue;
      memory.store(address, word);
      commands.push(command.write64(address, word));
    }
    for (const { offset, bytes, value } of setUp) {
      this.#unit.mmio.write(offset, bytes, value);
      const at = UNIT + BigInt(offset);
      commands.push(bytes === 8 ? command.write64(at, value) : command.write32(at, value));
    }
    return commands;
  }

  /** Why a request is no question to the SMMU alone, if it is none. */
  #unfit(outcome: Outcome, target: bigint | undefined): string | undefined {
    const targets = [outcome.ok ? outcome.address : undefined, target];
    const hits = targets.some((at) => at !== undefined && (this.#memory.isDevice(at) || isTablePage(at)));
    if (this.#memory.touchedDevices) return "a table in a device";
    return hits ? "aimed at a device or a table" : undefined;
  }

  #request(sid: number, address: bigint, predicted: Fate): string[] {
    const bar = this.machine.devices.find((device) => device.sid === sid)?.bar ?? 0n;
    const expected = typeof predicted === "object" && "at" in predicted ? predicted.at : SCRATCH;
    return [
      command.write32(expected, 0),
      ...dmaWrite(bar, address, expected),
      command.read32(EVENTQ_PROD),
      command.write32(expected, 0),
    ];
  }

  #describe({ state }: SmmuScript, what: string, sid: number, address: bigint): string {
    this.#walker.configure(state);
    const { steps, outcome } = this.#walker.trace({ sid, address, access: "w", probe: true });
    const hex = (words: readonly bigint[]) => words.map((word) => `0x${word.toString(16)}`).join(" ");
    const walk = steps.map(
      (step) =>
        `    ${step.structure} stage ${step.stage} level ${step.level} at 0x${step.address.toString(16)}: ${hex(step.words)}`,
    );
    const check = outcome.ok ? "" : ` check ${outcome.check} stage ${outcome.stage}`;
    const stream = `STRTAB_BASE 0x${state.strtabBase.toString(16)}, CFG 0x${state.strtabBaseCfg.toString(16)}`;
    return [`${this.#options}: ${what}${check}`, `    ${stream}`, ...walk].join("\n");
  }
}

/** A place that requests expected to fail look at, so that a success shows. */
const SCRATCH = 0x4f00_0000n;
const PER_REQUEST = 12;
const RESULT = 9;

function observe(result: bigint, events: readonly (readonly bigint[])[], predicted: Fate): string {
  const fate = FATE.get(result);
  const text = events.map((words) => `event 0x${showEvent(words)}`).join(" and ");
  if (fate === "refused") return text || showFate("silence");
  const place =
    fate === "there" && typeof predicted === "object" && "at" in predicted ? showFate(predicted) : "ok elsewhere";
  return text ? `${text}, yet ${place}` : place;
}
