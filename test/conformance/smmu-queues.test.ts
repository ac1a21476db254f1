/** SMMU-013..024: command and event queues, GERROR, IHI 0070 3.5, 4.1, 6.3.17, 7.1. */
import { describe, expect, it } from "vitest";
import type { SmmuLine } from "../../src/smmuv3/index.ts";
import { aborts } from "../support/smmu-expect.ts";
import { COMMAND, CR0, OP, REG, words } from "../support/smmu-fields.ts";
import { CMDQ, EVENTQ, RAM, SID, SmmuMachine } from "../support/smmu-machine.ts";

const ILLEGAL = 0x7f;
const CERROR_ILL = 1;
const CERROR_ABT = 2;
const OVERFLOW = 0x8000_0000;
const MSI_PAGE = RAM + 0x3_0000n;

const errorOf = (machine: SmmuMachine) => (machine.read(REG.CMDQ_CONS) >>> 24) & 0x7f;
const indexOf = (machine: SmmuMachine) => machine.read(REG.CMDQ_CONS) & 0xf_ffff;
const sync = (data: number) =>
  words(COMMAND, 2, { Opcode: OP.SYNC, CS: 1, MSIData: data, MSIAddress: MSI_PAGE + BigInt(4 * data) });
/** Which of the first SYNCs have written their data. */
const finished = (machine: SmmuMachine, count: number) =>
  Array.from({ length: count }, (_, i) => machine.memory.read32(MSI_PAGE + BigInt(4 * (i + 1))) === i + 1);

/** Puts commands at the head of a fresh queue and lets them run. */
function run(machine: SmmuMachine, commands: readonly (readonly bigint[])[], prod = commands.length): void {
  commands.forEach((command, i) => {
    machine.store(CMDQ + BigInt(16 * i), command);
  });
  machine.write(REG.CMDQ_PROD, prod);
}
const illegal = words(COMMAND, 2, { Opcode: ILLEGAL });

function pulses(machine: SmmuMachine): SmmuLine[] {
  const heard: SmmuLine[] = [];
  machine.smmu.onLine = (line) => heard.push(line);
  return heard;
}

describe("Command queue, IHI 0070 4.1", () => {
  it("SMMU-013 wraps: 2^n + 3 commands, in order, and the wrap bit of CONS toggles", () => {
    const machine = new SmmuMachine({ off: true });
    machine.write(REG.CR0, 0);
    machine.write64(REG.CMDQ_BASE, CMDQ | 2n);
    machine.write(REG.CR0, CR0.CMDQEN);
    for (let n = 0; n < 7; n++) {
      machine.store(CMDQ + BigInt(16 * (n % 4)), sync(n + 1));
      machine.write(REG.CMDQ_PROD, (n + 1) % 8);
      expect(machine.read(REG.CMDQ_CONS)).toBe((n + 1) % 8);
      expect(finished(machine, 7)).toEqual(Array.from({ length: 7 }, (_, i) => i <= n));
    }
  });

  it("SMMU-014 an illegal opcode stops consumption at it; what follows is not executed", () => {
    const machine = new SmmuMachine();
    run(machine, [sync(1), illegal, sync(2)]);
    expect(indexOf(machine)).toBe(1);
    expect(errorOf(machine)).toBe(CERROR_ILL);
    expect(machine.read(REG.GERROR)).toBe(1);
    expect(finished(machine, 2)).toEqual([true, false]);
  });

  it("SMMU-015 rewritten as CMD_SYNC and acknowledged, the queue goes on without a write of PROD", () => {
    const machine = new SmmuMachine();
    run(machine, [sync(1), illegal, sync(2)]);
    machine.store(CMDQ + 16n, words(COMMAND, 2, { Opcode: OP.SYNC }));
    machine.write(REG.GERRORN, 1);
    expect(indexOf(machine)).toBe(3);
    expect(finished(machine, 2)).toEqual([true, true]);
  });

  it("SMMU-016 with PROD moved back to RD, an acknowledgement executes nothing", () => {
    const machine = new SmmuMachine();
    run(machine, [sync(1), illegal, sync(2)]);
    machine.write(REG.CMDQ_PROD, 1);
    machine.write(REG.GERRORN, 1);
    expect(indexOf(machine)).toBe(1);
    expect(machine.read(REG.GERROR)).toBe(machine.read(REG.GERRORN));
    expect(finished(machine, 2)).toEqual([true, false]);
  });

  it("SMMU-017 a command that cannot be read: CERROR_ABT, and the acknowledgement reads it again", () => {
    const machine = new SmmuMachine();
    machine.memory.poison(CMDQ + 16n, 16);
    run(machine, [sync(1), sync(2)]);
    expect([indexOf(machine), errorOf(machine), machine.read(REG.GERROR)]).toEqual([1, CERROR_ABT, 1]);
    machine.write(REG.GERRORN, 1);
    expect([indexOf(machine), errorOf(machine), machine.read(REG.GERROR)]).toEqual([1, CERROR_ABT, 0]);
    machine.memory.heal();
    machine.write(REG.GERRORN, 0);
    expect(indexOf(machine)).toBe(2);
    expect(finished(machine, 2)).toEqual([true, true]);
  });

  it("SMMU-018 a second error of the same kind before the acknowledgement does not toggle GERROR again", () => {
    const machine = new SmmuMachine();
    machine.memory.poison(MSI_PAGE, 64);
    run(machine, [sync(1), sync(2)]);
    expect(machine.read(REG.GERROR)).toBe(1 << 4);
    machine.write(REG.GERRORN, 1 << 4);
    machine.store(CMDQ + 32n, sync(3));
    machine.write(REG.CMDQ_PROD, 3);
    expect(machine.read(REG.GERROR)).toBe(0);
  });
});

describe("Event queue, IHI 0070 7.1 and 7.2", () => {
  const faulting = (machine: SmmuMachine, count: number) => {
    for (let n = 0; n < count; n++) machine.ask({ sid: SID });
  };

  it("SMMU-019 full to the last entry, then an event is lost: OVFLG toggles, PROD stays", () => {
    const machine = new SmmuMachine({ log2Events: 2 });
    faulting(machine, 4);
    expect(machine.read(REG.EVENTQ_PROD)).toBe(4);
    faulting(machine, 1);
    expect(machine.read(REG.EVENTQ_PROD)).toBe(OVERFLOW + 4);
    faulting(machine, 3);
    expect(machine.read(REG.EVENTQ_PROD)).toBe(OVERFLOW + 4);
    machine.write(REG.EVENTQ_CONS, OVERFLOW + 4);
    faulting(machine, 5);
    expect(machine.read(REG.EVENTQ_PROD)).toBe(0);
  });

  it("SMMU-020 an overflow that is not acknowledged does not keep new events out", () => {
    const machine = new SmmuMachine({ log2Events: 2 });
    faulting(machine, 5);
    machine.write(REG.EVENTQ_CONS, 1);
    faulting(machine, 1);
    expect(machine.read(REG.EVENTQ_PROD)).toBe(OVERFLOW + 5);
    faulting(machine, 1);
    expect(machine.read(REG.EVENTQ_PROD)).toBe(OVERFLOW + 5);
  });

  it("SMMU-021 a write that aborts sets GERROR[2]; PROD and OVFLG stay, nothing more until acknowledged", () => {
    const machine = new SmmuMachine({ log2Events: 2 });
    machine.memory.poison(EVENTQ, 32);
    faulting(machine, 1);
    expect(machine.read(REG.GERROR)).toBe(1 << 2);
    expect(machine.read(REG.EVENTQ_PROD)).toBe(0);
    machine.memory.heal();
    faulting(machine, 6);
    expect(machine.read(REG.EVENTQ_PROD)).toBe(0);
    machine.write(REG.GERRORN, 1 << 2);
    faulting(machine, 1);
    expect(machine.read(REG.EVENTQ_PROD)).toBe(1);
  });

  it("SMMU-022 a queue that is off: the fault stands, without a record and without OVFLG", () => {
    const machine = new SmmuMachine({ off: true });
    machine.write(REG.CR0, CR0.CMDQEN | CR0.SMMUEN);
    aborts(machine, {});
    expect(machine.read(REG.EVENTQ_PROD)).toBe(0);
  });

  it("SMMU-023 the interrupt comes when the queue is no longer empty, and only then", () => {
    const machine = new SmmuMachine();
    machine.write(REG.IRQ_CTRL, 4);
    const heard = pulses(machine);
    faulting(machine, 3);
    expect(heard).toEqual(["eventq"]);
    machine.events();
    faulting(machine, 2);
    expect(heard).toEqual(["eventq", "eventq"]);
  });

  it("SMMU-024 a command error interrupts only if GERROR_IRQEN = 1 at that time", () => {
    const silent = new SmmuMachine();
    const unheard = pulses(silent);
    run(silent, [illegal]);
    silent.write(REG.IRQ_CTRL, 1);
    expect(unheard).toEqual([]);
    const machine = new SmmuMachine();
    machine.write(REG.IRQ_CTRL, 1);
    const heard = pulses(machine);
    run(machine, [illegal]);
    expect(heard).toEqual(["gerror"]);
  });
});
