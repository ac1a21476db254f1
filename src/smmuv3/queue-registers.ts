/** Registers of the three queues and of the interrupts that have some: Arm IHI 0070 6.3.22 to 6.3.37. */
import {
  CMDQ_BASE,
  CMDQ_CONS,
  CMDQ_PROD,
  CR0,
  EVENTQ_BASE,
  EVENTQ_CONS,
  EVENTQ_PROD,
  IRQ_CFG0,
  IRQ_CFG1,
  IRQ_CFG2,
  IRQ_CTRL,
  PAGE_BYTES,
  PAGE0,
  PAGE1,
  PRIQ_IRQ_CFG2,
} from "../../assembly/layout/smmuv3-registers.ts";
import type { Register } from "../registers.ts";
import { type Layout, maskOf } from "../structure.ts";
import { addressMsb, type SmmuFeatures } from "./features.ts";
import type { SmmuEffects, SmmuRegister } from "./registers.ts";

export type QueueName = "CMDQ" | "EVENTQ" | "PRIQ";
export type IrqName = "GERROR" | "EVENTQ" | "PRIQ";
/** Whether an enable is asked for, or still in effect. */
export type Enabled = (field: number) => boolean;

/** Ones over several fields. */
export function masksOf(...fields: number[]): bigint {
  return fields.reduce((mask, field) => mask | maskOf(field), 0n);
}

/** An address field of a register, as wide as the architecture version has it. */
export function addressMask(features: SmmuFeatures, field: number): bigint {
  return maskOf(field) & ((1n << BigInt(addressMsb(features) + 1)) - 1n);
}

interface QueueFacts {
  title: string;
  enable: number;
  base: number;
  prod: number;
  cons: number;
  baseFields: typeof CMDQ_BASE | typeof EVENTQ_BASE;
  hint: number;
  /** Which index belongs to the SMMU, and so is locked while the queue is enabled. */
  own: "PROD" | "CONS";
}

const OUTPUT = { baseFields: EVENTQ_BASE, hint: EVENTQ_BASE.WA, own: "PROD" } as const;
const QUEUES: Readonly<Record<QueueName, QueueFacts>> = {
  CMDQ: {
    title: "Command queue",
    enable: CR0.CMDQEN,
    base: PAGE0.CMDQ_BASE,
    prod: PAGE0.CMDQ_PROD,
    cons: PAGE0.CMDQ_CONS,
    baseFields: CMDQ_BASE,
    hint: CMDQ_BASE.RA,
    own: "CONS",
  },
  EVENTQ: {
    title: "Event queue",
    enable: CR0.EVENTQEN,
    base: PAGE0.EVENTQ_BASE,
    prod: PAGE_BYTES + PAGE1.EVENTQ_PROD,
    cons: PAGE_BYTES + PAGE1.EVENTQ_CONS,
    ...OUTPUT,
  },
  PRIQ: {
    title: "PRI queue",
    enable: CR0.PRIQEN,
    base: PAGE0.PRIQ_BASE,
    prod: PAGE_BYTES + PAGE1.PRIQ_PROD,
    cons: PAGE_BYTES + PAGE1.PRIQ_CONS,
    ...OUTPUT,
  },
};

/** BASE, PROD and CONS of a queue. */
export function queueRegisters(
  name: QueueName,
  features: SmmuFeatures,
  effects: SmmuEffects,
  enabled: Enabled,
): Register<SmmuRegister>[] {
  const { title, enable, base, prod, cons, baseFields, hint, own } = QUEUES[name];
  const isCommands = name === "CMDQ";
  const baseMask = maskOf(baseFields.LOG2SIZE) | addressMask(features, baseFields.ADDR) | maskOf(hint);
  const prodMask = isCommands ? maskOf(CMDQ_PROD.WR) : masksOf(EVENTQ_PROD.WR, EVENTQ_PROD.OVFLG);
  const consMask = isCommands ? masksOf(CMDQ_CONS.RD, CMDQ_CONS.ERR) : masksOf(EVENTQ_CONS.RD, EVENTQ_CONS.OVACKFLG);
  const whileEnabled = (mask: bigint) => () => (enabled(enable) ? mask : 0n);
  const { commands, room } = effects;
  return [
    {
      name: `${name}_BASE`,
      offset: base,
      bits: 64,
      title,
      layout: baseFields,
      rw: baseMask,
      locked: whileEnabled(baseMask),
    },
    {
      name: `${name}_PROD`,
      offset: prod,
      bits: 32,
      title: `${title}, written up to here`,
      layout: isCommands ? CMDQ_PROD : EVENTQ_PROD,
      rw: prodMask,
      ...(own === "PROD" ? { locked: whileEnabled(prodMask) } : { effect: commands }),
    },
    {
      name: `${name}_CONS`,
      offset: cons,
      bits: 32,
      title: `${title}, read up to here`,
      layout: isCommands ? CMDQ_CONS : EVENTQ_CONS,
      rw: consMask,
      ...(own === "CONS" ? { locked: whileEnabled(consMask) } : { effect: room }),
    },
  ];
}

const IRQ_OFFSETS: Readonly<Record<IrqName, readonly [enable: number, cfg0: number, cfg1: number, cfg2: number]>> = {
  GERROR: [IRQ_CTRL.GERROR_IRQEN, PAGE0.GERROR_IRQ_CFG0, PAGE0.GERROR_IRQ_CFG1, PAGE0.GERROR_IRQ_CFG2],
  EVENTQ: [IRQ_CTRL.EVENTQ_IRQEN, PAGE0.EVENTQ_IRQ_CFG0, PAGE0.EVENTQ_IRQ_CFG1, PAGE0.EVENTQ_IRQ_CFG2],
  PRIQ: [IRQ_CTRL.PRIQ_IRQEN, PAGE0.PRIQ_IRQ_CFG0, PAGE0.PRIQ_IRQ_CFG1, PAGE0.PRIQ_IRQ_CFG2],
};

/** CFG0..2 of an interrupt source. */
export function interruptRegisters(name: IrqName, features: SmmuFeatures, enabled: Enabled): Register<SmmuRegister>[] {
  const [enable, cfg0, cfg1, cfg2] = IRQ_OFFSETS[name];
  const msi = (mask: bigint): bigint => (features.MSI ? mask : 0n);
  const row = (n: 0 | 1 | 2, offset: number, bits: 32 | 64, layout: Layout, rw: bigint): Register<SmmuRegister> => ({
    name: `${name}_IRQ_CFG${n}`,
    offset,
    bits,
    title: ["Interrupt address", "Interrupt data", "Interrupt attributes"][n] as string,
    layout,
    rw,
    locked: () => (enabled(enable) ? rw : 0n),
  });
  const lo = name === "PRIQ" ? maskOf(PRIQ_IRQ_CFG2.LO) : 0n;
  return [
    row(0, cfg0, 64, IRQ_CFG0, msi(addressMask(features, IRQ_CFG0.ADDR))),
    row(1, cfg1, 32, IRQ_CFG1, msi(maskOf(IRQ_CFG1.DATA))),
    row(2, cfg2, 32, name === "PRIQ" ? PRIQ_IRQ_CFG2 : IRQ_CFG2, msi(masksOf(IRQ_CFG2.MemAttr, IRQ_CFG2.SH)) | lo),
  ];
}
