/** QEMU's intel-iommu and our VT-d unit, through the same random scripts. */
import { type Outcome, VtdCapabilities, VtdWalker } from "../../../src/index.ts";
import { VtdUnit } from "../../../src/vtd/index.ts";
import { command } from "./qtest.ts";
import { MachineMemory } from "./ram.ts";
import { Random } from "./random.ts";
import type { Report } from "./report.ts";
import { dmaWrite, FATE } from "./testdev.ts";
import { type Fate, fateOf, showFate, VtdDialect } from "./vtd-dialect.ts";
import { DEVICES, RAM, startVtd, UNIT, type VtdMachine } from "./vtd-machine.ts";
import { isTablePage, makeVtdScript, type VtdScript } from "./vtd-script.ts";

/** What to give `-device`, and the share of the requests. */
const CONFIGURATIONS = [
  "intel-iommu,aw-bits=48",
  "intel-iommu,aw-bits=39,snoop-control=on,device-iotlb=on",
  "intel-iommu,aw-bits=48,caching-mode=on",
  "intel-iommu,aw-bits=48,scalable-mode=on",
  "intel-iommu,aw-bits=39,scalable-mode=on,pasid-bits=20",
  "intel-iommu,aw-bits=48,scalable-mode=on,snoop-control=on,device-iotlb=on",
  "intel-iommu,aw-bits=48,scalable-mode=on,fsts=on",
  "intel-iommu,aw-bits=48,scalable-mode=on,fsts=on,fs1gp=off",
  "intel-iommu,aw-bits=48,scalable-mode=on,fsts=on,caching-mode=on,snoop-control=on",
  "intel-iommu,aw-bits=48,scalable-mode=on,fsts=on,pasid-bits=16,device-iotlb=on",
];

const FSTS = 0x34n;
const FRCD = 0x220n;
const LAST_DWORD = 12n;
const F = 1n << 31n;
const PENDING = 2n;

export async function compareVtd(seed: number, requests: number, report: Report): Promise<void> {
  for (const [i, options] of CONFIGURATIONS.entries()) {
    const random = new Random(seed + i);
    const buses = [1 + random.below(0x7f), 0x80 + random.below(0x7f)];
    const machine = await startVtd(options, buses);
    try {
      const run = new VtdRun(machine, options, report);
      const until = report.requests + requests / CONFIGURATIONS.length;
      while (report.requests < until) await run.script(random);
    } finally {
      await machine.qtest.stop();
    }
  }
}

class VtdRun {
  readonly #machine: VtdMachine;
  readonly #options: string;
  readonly #report: Report;
  readonly #memory = new MachineMemory(RAM, DEVICES);
  readonly #unit: VtdUnit;
  readonly #walker: VtdWalker;
  readonly #sids: readonly number[];
  readonly #haw: number;

  constructor(machine: VtdMachine, options: string, report: Report) {
    const { ver, cap, ecap, devices } = machine;
    this.#machine = machine;
    this.#options = options;
    this.#report = report;
    this.#haw = Number(/aw-bits=(\d+)/.exec(options)?.[1]);
    this.#sids = devices.map(({ sid }) => sid);
    const capabilities = VtdCapabilities.asFound({ ver, cap, ecap }, this.#haw);
    this.#unit = new VtdUnit(this.#memory.guest, { capabilities });
    this.#walker = new VtdWalker(this.#memory.guest, { cap, ecap, rtaddr: 0n });
  }

  async script(random: Random): Promise<void> {
    const { ver, cap, ecap, qtest } = this.#machine;
    const unit = { cap, ecap, version: Number(ver), haw: this.#haw };
    const script = makeVtdScript(random, unit, this.#sids);
    const commands = this.#load(script);
    const asked: { text: string; sid: number; address: bigint; predicted: Fate; departures: string[] }[] = [];
    const dialect = new VtdDialect(this.#memory.guest, script.state, this.#walker, (at) => this.#memory.isRam(at));
    for (const one of script.requests) {
      this.#memory.touchedDevices = false;
      const { sid, address } = this.#aim(one);
      const outcome = this.#unit.translate({ sid, address, access: "w" });
      const recorded = this.#takeRecord();
      const architecture = fateOf({ address, sid }, outcome, recorded, (at) => this.#memory.isRam(at));
      const { fate, departures, target, entangled } = dialect.predict({ sid, address }, outcome, recorded);
      const reason = entangled ? "an entry in two roles" : this.#unfit(address, outcome, target);
      if (reason !== undefined) {
        this.#report.leave(reason);
        continue;
      }
      asked.push({ text: showFate(architecture), sid, address, predicted: fate, departures });
      commands.push(...this.#request(sid, address, fate));
    }
    const answers = await qtest.batch(commands);
    const tail = asked.length * PER_REQUEST;
    asked.forEach(({ text, sid, address, predicted, departures }, i) => {
      const observed = observe(answers.slice(answers.length - tail + i * PER_REQUEST), sid, predicted);
      this.#report.count(observed, showFate(predicted), departures, () =>
        this.#describe(
          script,
          `sid 0x${sid.toString(16)} address 0x${address.toString(16)}: architecture ${text}; expected of QEMU ${showFate(predicted)} (${departures.join(", ")}); QEMU ${observed}`,
          { sid, address },
        ),
      );
    });
  }

  /** Tables and registers, here and there. @returns commands for QEMU */
  #load({ words, setUp }: VtdScript): string[] {
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

  /** The same request, but at data where an untranslated address would meet nothing. */
  #aim(request: { sid: number; address: bigint }): { sid: number; address: bigint } {
    const outcome = this.#unit.translate({ ...request, access: "w", probe: true });
    this.#takeRecord();
    if (!outcome.ok || !outcome.bypass || this.#memory.isRam(outcome.address)) return request;
    return { ...request, address: DATA | (request.address & DATA_MASK) };
  }

  #takeRecord(): boolean {
    const { mmio } = this.#unit;
    const pending = (mmio.read(Number(FSTS), 4) & PENDING) !== 0n;
    if (pending) mmio.write(Number(FRCD + LAST_DWORD), 4, F);
    return pending;
  }

  /** Why a request is no question to the IOMMU alone, if it is none. */
  #unfit(address: bigint, outcome: Outcome, target: bigint | undefined): string | undefined {
    const targets = [outcome.ok ? outcome.address : undefined, target];
    const hits = targets.some((at) => at !== undefined && (this.#memory.isDevice(at) || isTablePage(at)));
    if (this.#memory.touchedDevices) return "a table in a device";
    if (address >> 20n === 0xfeen) return "an interrupt";
    return hits ? "aimed at a device or a table" : undefined;
  }

  #request(sid: number, address: bigint, predicted: Fate): string[] {
    const bar = this.#machine.devices.find((device) => device.sid === sid)?.bar ?? 0n;
    const expected = typeof predicted === "object" && "at" in predicted ? predicted.at : SCRATCH;
    return [
      command.write32(expected, 0),
      ...dmaWrite(bar, address, expected),
      command.read32(UNIT + FSTS),
      command.read64(UNIT + FRCD),
      command.read64(UNIT + FRCD + 8n),
      command.write32(UNIT + FRCD + LAST_DWORD, F),
      command.write32(expected, 0),
    ];
  }

  #describe(script: VtdScript, what: string, { sid, address }: { sid: number; address: bigint }): string {
    this.#walker.configure(script.state);
    const { steps } = this.#walker.trace({ sid, address, access: "w", probe: true });
    const walk = steps.map(
      (step) =>
        `    ${step.structure} ${step.level} at 0x${step.address.toString(16)}: ${step.words.map((word) => `0x${word.toString(16)}`).join(" ")} ${step.checks
          .filter(({ failed }) => failed)
          .map(({ id }) => id)
          .join()}`,
    );
    return [`${this.#options}, RTADDR 0x${script.state.rtaddr.toString(16)}: ${what}`, ...walk].join("\n");
  }
}

/** Where identity-mapped requests go. */
const DATA = 1n << 30n;
const DATA_MASK = 0xfff_fffcn;
/** A place that requests expected to fail look at, so that a success shows. */
const SCRATCH = 0x7000_0000n;
const PER_REQUEST = 15;
const RESULT = 9;

function observe(answers: readonly bigint[], sid: number, predicted: Fate): string {
  const fate = FATE.get(answers[RESULT] ?? -1n);
  const [status = 0n, information = 0n, high = 0n] = answers.slice(RESULT + 1);
  if ((status & PENDING) !== 0n) {
    const reason = (high >> 32n) & 0xffn;
    const by = (high & 0xffffn) === BigInt(sid) ? "" : ` by 0x${(high & 0xffffn).toString(16)}`;
    return `${showFate({ fault: Number(reason), information: information & ~0xfffn })}${by}${fate === "refused" ? "" : `, yet ${fate}`}`;
  }
  if (fate === "refused") return showFate("silence");
  if (fate === "there" && typeof predicted === "object" && "at" in predicted) return showFate(predicted);
  return `ok elsewhere`;
}
