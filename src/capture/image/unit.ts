/** Puts one IOMMU's registers together from all that was given, and says what is missing and how to get it. */
import { CR0, PAGE0 } from "../../../assembly/layout/smmuv3-registers.ts";
import { GSTS } from "../../../assembly/layout/vtd-base.ts";
import { VER } from "../../../assembly/layout/vtd-capabilities.ts";
import { REG } from "../../../assembly/layout/vtd-registers.ts";
import { putBits } from "../../structure.ts";
import { InputError } from "../input.ts";
import { RegisterDump } from "../registers.ts";
import type { ImageIommu, ImageUnit } from "./image.ts";
import type { UnitText } from "./register-text.ts";

/** Registers without which no walk can begin, by name of REGISTER_OPTIONS. */
export const NEEDED: Readonly<Record<ImageIommu, readonly string[]>> = {
  vtd: ["rtaddr", "cap", "ecap"],
  smmuv3: ["idr0", "idr1", "idr5", "strtab-base", "strtab-base-cfg"],
};

/** What is taken for granted unless something says otherwise: a unit that translates. */
const ASSUMED: Readonly<Record<ImageIommu, readonly (readonly [offset: number, value: number])[]>> = {
  vtd: [
    [REG.GSTS, Number(putBits(0n, GSTS.TES, 1))],
    [REG.VER, Number(putBits(0n, VER.MAX, 1))],
  ],
  smmuv3: [[PAGE0.CR0, Number(putBits(0n, CR0.SMMUEN, 1))]],
};

const VTD_ADVICE = `On the machine itself, as root (a kernel with CONFIG_INTEL_IOMMU_DEBUGFS):
  cat /sys/kernel/debug/iommu/intel/iommu_regset > regs.txt
then add: --regs regs.txt
Without debugfs: CAP and ECAP are in sysfs and in the boot log, and RTADDR lies
0x20 above the reg_base_addr of that log (here 0xfed90000):
  grep . /sys/class/iommu/dmar*/intel-iommu/{cap,ecap,version} > regs.txt
  dmesg | grep reg_base_addr
  busybox devmem $((0xfed90000 + 0x20)) 64
then add: --regs regs.txt --rtaddr 0x..
In QEMU's monitor (--regs takes its answer):
  xp /16xw 0xfed90000
`;

const SMMU_ADVICE = `On the machine itself, as root: find the registers, then read them
  grep -i smmu /proc/iomem
  for o in 0x00 0x04 0x0c 0x14 0x20 0x80 0x84 0x88; do
    echo $o $(busybox devmem $((0x09050000 + o)) 32); done > regs.txt
then add: --regs regs.txt
In QEMU's monitor (--regs takes its answers; more than one word at a time would
be read 64 bits wide, for which most registers have 0):
  xp /1xw 0x09050000
  xp /1xw 0x09050004
  xp /1xw 0x0905000c
  xp /1xw 0x09050014
  xp /1xw 0x09050020
  xp /1xg 0x09050080
  xp /1xw 0x09050088
`;

const ADVICE: Readonly<Record<ImageIommu, string>> = { vtd: VTD_ADVICE, smmuv3: SMMU_ADVICE };

/** No walk can begin: registers are missing. */
export class MissingRegisters extends InputError {
  /** How to get them, some lines. */
  readonly advice: string;
  /** Which, for people. */
  readonly missing: string;

  constructor(file: string, iommu: ImageIommu | undefined, missing: readonly string[]) {
    const which =
      iommu === undefined ? "which IOMMU it is (--iommu vtd or smmuv3), and its registers" : missing.join(", ");
    super(file, "", `a dump holds memory, not registers; missing: ${which}`);
    this.name = "MissingRegisters";
    this.missing = `missing: ${which}`;
    this.advice = iommu === undefined ? `Intel:\n${VTD_ADVICE}Arm:\n${SMMU_ADVICE}` : ADVICE[iommu];
  }
}

/** A register that can be given by itself. */
export interface RegisterOption {
  iommu: ImageIommu;
  offset: number;
  bits: 32 | 64;
}

/** By option, in order of use. */
export const REGISTER_OPTIONS: Readonly<Record<string, RegisterOption>> = {
  rtaddr: { iommu: "vtd", offset: REG.RTADDR, bits: 64 },
  cap: { iommu: "vtd", offset: REG.CAP, bits: 64 },
  ecap: { iommu: "vtd", offset: REG.ECAP, bits: 64 },
  ver: { iommu: "vtd", offset: REG.VER, bits: 32 },
  gsts: { iommu: "vtd", offset: REG.GSTS, bits: 32 },
  "strtab-base": { iommu: "smmuv3", offset: PAGE0.STRTAB_BASE, bits: 64 },
  "strtab-base-cfg": { iommu: "smmuv3", offset: PAGE0.STRTAB_BASE_CFG, bits: 32 },
  idr0: { iommu: "smmuv3", offset: PAGE0.IDR0, bits: 32 },
  idr1: { iommu: "smmuv3", offset: PAGE0.IDR1, bits: 32 },
  idr3: { iommu: "smmuv3", offset: PAGE0.IDR3, bits: 32 },
  idr5: { iommu: "smmuv3", offset: PAGE0.IDR5, bits: 32 },
  cr0: { iommu: "smmuv3", offset: PAGE0.CR0, bits: 32 },
};

/** An option's register as specifications call it. */
export function registerName(option: string): string {
  return option.toUpperCase().replaceAll("-", "_");
}

/** What a caller says outright. */
export interface UnitChoice {
  /** As texts name it, "dmar0". */
  unit?: string | undefined;
  iommu?: ImageIommu | undefined;
  /** By name of REGISTER_OPTIONS; they win over what texts say. */
  registers?: ReadonlyMap<string, bigint> | undefined;
}

/**
 * @param file what the image is called in messages
 * @param texts all that was read; of two that say the same register the later one counts
 * @param guess the IOMMU that such a machine has
 * @throws MissingRegisters; InputError when it is not clear which unit is meant
 */
export function chooseUnit(
  file: string,
  texts: readonly UnitText[],
  choice: UnitChoice,
  guess?: ImageIommu,
): ImageUnit {
  const chosen = textsOf(file, texts, choice.unit);
  const options = optionsOf(choice);
  const iommu =
    choice.iommu ?? chosen.find((text) => text.iommu !== undefined)?.iommu ?? options[0]?.[1].iommu ?? guess;
  if (iommu === undefined) throw new MissingRegisters(file, undefined, []);
  const found = new RegisterDump(
    new Map(chosen.flatMap((text) => [...text.values])),
    new Map(chosen.flatMap((text) => [...text.sources])),
  );
  const registers = assume(iommu, withOptions(file, { iommu, registers: found }, choice).registers);
  const missing = NEEDED[iommu].filter((name) => {
    const { offset, bits } = REGISTER_OPTIONS[name] as RegisterOption;
    return !registers.has(offset, bits);
  });
  if (missing.length > 0) throw new MissingRegisters(file, iommu, missing.map(registerName));
  return { iommu, registers };
}

/** The unit with the registers that were given outright. @throws InputError for those of another IOMMU */
export function withOptions(file: string, { iommu, registers }: ImageUnit, choice: UnitChoice): ImageUnit {
  let out = registers;
  for (const [name, option, value] of optionsOf(choice)) {
    if (option.iommu !== iommu) throw new InputError(file, "", `--${name} is no register of this IOMMU (${iommu})`);
    out = out.with(option.offset, option.bits, value, `--${name}`);
  }
  return { iommu, registers: out };
}

function optionsOf({ registers = new Map() }: UnitChoice): [string, RegisterOption, bigint][] {
  return Object.entries(REGISTER_OPTIONS).flatMap(([name, option]) => {
    const value = registers.get(name);
    return value === undefined ? [] : [[name, option, value] as [string, RegisterOption, bigint]];
  });
}

/** What was said about the unit that is meant: by its name, or without one. */
function textsOf(file: string, texts: readonly UnitText[], unit: string | undefined): UnitText[] {
  const names = [...new Set(texts.map((text) => text.unit))].filter((name) => name !== "");
  if (unit !== undefined && !names.includes(unit)) {
    throw new InputError(file, "", `no unit "${unit}" (${names.join(", ") || "none is named"})`);
  }
  if (unit === undefined && names.length > 1) {
    throw new InputError(file, "", `several units, ${names.join(", ")}: choose one with --unit`);
  }
  const wanted = unit ?? names[0] ?? "";
  return texts.filter((text) => text.unit === "" || text.unit === wanted);
}

function assume(iommu: ImageIommu, registers: RegisterDump): RegisterDump {
  let out = registers;
  for (const [offset, value] of ASSUMED[iommu]) {
    if (!registers.has(offset, 32)) out = out.with(offset, 32, BigInt(value), "assumed");
  }
  return out;
}
