/**
 * VER, CAP and ECAP of a unit, derived from its features field by field; presets of real machines.
 *
 * Intel D51397, rev 5.10, "Capability Register", "Extended Capability Register".
 */
import { checkBigInt, checkInteger } from "../check.ts";
import { lazily } from "../lazy.ts";
import { fieldsOf, getBits, maskOf, putBits } from "../structure.ts";
import {
  BASE_FEATURES,
  brokenRules,
  FEATURE_LAYOUTS,
  NOT_MODELLED,
  type VtdFeature,
  type VtdFeatures,
  withoutUnmet,
} from "./features.ts";

/** Values of the three registers. */
export interface CapabilityRegisters {
  ver: bigint;
  cap: bigint;
  ecap: bigint;
}

const ALL_ONES = 0xffff_ffff_ffff_ffffn;

export class VtdCapabilities implements CapabilityRegisters {
  /** As software reads them. */
  readonly ver: bigint;
  readonly cap: bigint;
  readonly ecap: bigint;
  /** Host address width in bits. */
  readonly haw: number;
  /** What is in effect: for hardware that advertises too much, less than the registers say. */
  readonly features: Readonly<VtdFeatures>;
  /** Rules of the architecture that the registers break; only `asFound` can leave some. */
  readonly deviations: readonly string[];
  /** What real hardware had and this unit lacks: fields of the registers that were cleared. */
  readonly cleared: readonly string[];

  private constructor(
    registers: CapabilityRegisters,
    features: VtdFeatures,
    deviations: readonly string[],
    cleared: readonly string[],
  ) {
    this.ver = registers.ver;
    this.cap = registers.cap;
    this.ecap = registers.ecap;
    this.haw = features.HAW;
    this.features = features;
    this.deviations = deviations;
    this.cleared = cleared;
  }

  /**
   * A unit by its features; what is not given is as in `BASE_FEATURES`.
   * @throws RangeError naming every rule of the architecture that they break
   * @throws TypeError for a name that is no feature, or one that is not modelled
   */
  static of(given: Partial<VtdFeatures> = {}): VtdCapabilities {
    for (const [name, value] of Object.entries(given)) {
      const missing = NOT_MODELLED[name];
      if (missing !== undefined && value !== 0) throw new TypeError(`${name}: ${missing}: not modelled`);
      if (missing === undefined && !(name in BASE_FEATURES)) throw new TypeError(`${name}: no such feature`);
    }
    const features = { ...BASE_FEATURES };
    for (const name of Object.keys(BASE_FEATURES) as VtdFeature[]) features[name] = given[name] ?? BASE_FEATURES[name];
    checkInteger("HAW", features.HAW, 32, 52);
    const registers = encode(features);
    const broken = brokenRules(features);
    if (broken.length) throw new RangeError(broken.join("; "));
    return new VtdCapabilities(registers, features, [], []);
  }

  /**
   * A unit by register values found in a machine. Real parts break rules: such a value reads as it
   * was found, and what lacks its prerequisite has no effect. Fields that are not modelled read 0.
   * @param haw host address width in bits, which no register tells
   */
  static asFound(found: CapabilityRegisters, haw: number): VtdCapabilities {
    checkInteger("haw", haw, 32, 52);
    const registers = { ver: found.ver, cap: found.cap, ecap: found.ecap };
    const features = { ...BASE_FEATURES, HAW: haw };
    const cleared: string[] = [];
    for (const [register, layout] of Object.entries(FEATURE_LAYOUTS)) {
      const key = register.toLowerCase() as keyof CapabilityRegisters;
      checkBigInt(key, found[key], 0n, ALL_ONES);
      for (const { name, msb, lsb } of fieldsOf(layout)) {
        const field = layout[`${name}`] as number;
        const value = Number(getBits(found[key], field));
        if (!(name in NOT_MODELLED)) features[name as VtdFeature] = value;
        else if (value !== 0) {
          cleared.push(`${register}.${name} (${msb === lsb ? msb : `${msb}:${lsb}`})`);
          registers[key] &= ~maskOf(field);
        }
      }
    }
    return new VtdCapabilities(registers, withoutUnmet(features), brokenRules(features), cleared);
  }

  /** The registers that say what is in effect: what a walker is configured with. */
  get effective(): CapabilityRegisters {
    return encode(this.features);
  }
}

function encode(features: Readonly<VtdFeatures>): CapabilityRegisters {
  const encoded = (register: keyof typeof FEATURE_LAYOUTS): bigint => {
    const layout = FEATURE_LAYOUTS[register];
    return fieldsOf(layout).reduce((value, { name, msb, lsb }) => {
      if (name in NOT_MODELLED) return value;
      const bits = checkInteger(name, features[name as VtdFeature], 0, 2 ** (msb - lsb + 1) - 1);
      return putBits(value, layout[name] as number, bits);
    }, 0n);
  };
  return { ver: encoded("VER"), cap: encoded("CAP"), ecap: encoded("ECAP") };
}

/** Units by name. Values of real machines are from their boot logs; `cleared` says what was taken off. */
export const VTD_PRESETS: Readonly<Record<VtdPreset, VtdCapabilities>> = lazily({
  /** QEMU 11.1, 48 bits, interrupt remapping; second stage only, legacy mode. */
  qemu: () => asFound(0x10n, 0x80d2_008c_222f_0606n, 0xf0_0f4an, 48),
  /** The same with x-scalable-mode=on. */
  "qemu-scalable": () => asFound(0x10n, 0x80d2_008c_222f_0606n, 0x4800_80f0_0f4an, 48),
  /** The same with x-flts=on: first stage. */
  "qemu-first-stage": () => asFound(0x10n, 0x81d2_008c_222f_0606n, 0x8800_00f0_0f4an, 48),
  /** Client, graphics unit, version 4.0. */
  "client-graphics": () => asFound(0x40n, 0x01c0_000c_4066_0462n, 0x0000_069e_2ff0_505en, 39),
  /** The same of a later part. */
  "client-graphics-ats": () => asFound(0x40n, 0x01c0_000c_4066_0462n, 0x0000_029a_00f0_505en, 39),
  /** Client, main unit, version 5.0. */
  client: () => asFound(0x50n, 0x00d2_008c_4066_0462n, 0x0000_0000_00f0_50dan, 39),
  /** Client, version 7.0: scalable mode, abort-DMA mode. */
  "client-scalable": () => asFound(0x70n, 0xc9de_008c_ee69_0462n, 0x0012_ca9a_00f0_ef5en, 42),
  /** Server, version 6.0: scalable mode, nested. */
  server: () => asFound(0x60n, 0x09ed_008c_4078_0466n, 0x0003_ee9e_86f0_50dfn, 46),
  /** Server, version 7.0: 5-level paging, page requests. */
  "server-5-level": () => asFound(0x70n, 0xf9ed_008c_ee78_0c66n, 0x003f_ef9e_a6f0_efdfn, 52),
  /** Everything that is modelled, in the last version that has register-based invalidation. */
  widest: () =>
    VtdCapabilities.of({
      HAW: 52,
      PLMR: 1,
      PHMR: 1,
      SAGAW: 0b1110,
      MGAW: 56,
      FRO: 0x100,
      NFR: 255,
      MAMV: 63,
      FS1GP: 1,
      FS5LP: 1,
      ESIRTPS: 1,
      DT: 1,
      IR: 1,
      EIM: 1,
      SC: 1,
      MHMV: 15,
      MTS: 1,
      NEST: 1,
      PRS: 1,
      SRS: 1,
      NWFS: 1,
      EAFS: 1,
      PSS: 19,
      PASID: 1,
      DIT: 1,
      PDS: 1,
      SMTS: 1,
      SSADS: 1,
      SSTS: 1,
      FSTS: 1,
      SMPWCS: 1,
      RPS: 1,
      RPRIVS: 1,
      ADMS: 1,
      HPTS: 1,
      HPT1GPS: 1,
      PTRS: 1,
      SSIRWS: 1,
      SMS: 1,
      RDTS: 1,
    }),
});

export type VtdPreset =
  | "qemu"
  | "qemu-scalable"
  | "qemu-first-stage"
  | "client-graphics"
  | "client-graphics-ats"
  | "client"
  | "client-scalable"
  | "server"
  | "server-5-level"
  | "widest";

function asFound(ver: bigint, cap: bigint, ecap: bigint, haw: number): VtdCapabilities {
  return VtdCapabilities.asFound({ ver, cap, ecap }, haw);
}
