/**
 * What one SMMU can do: the values behind its ID registers, Arm IHI 0070 6.3.1 to 6.3.8.
 *
 * A feature has the name and the encoding of its field; IDR0..IDR5, IIDR and AIDR are derived from the
 * layout, field by field. `smmuFeatures` fills in defaults and refuses what cannot be, by name.
 */
import {
  ADDRESS_SIZE,
  AIDR,
  HTTU,
  IDR0,
  IDR1,
  IDR2,
  IDR3,
  IDR5,
  IIDR,
  STALL_MODEL,
  TTENDIAN,
  TTF,
} from "../../assembly/layout/smmuv3-ids.ts";
import { checkInteger } from "../check.ts";
import { build, describe, fieldsOf, type Layout } from "../structure.ts";
import { BUILDS_ON, contradictions, oddities } from "./feature-rules.ts";

/** Every member is the field of that name as it reads; flags are 0 or 1. */
export interface SmmuFeatures {
  /** AIDR: minor version, 0 = SMMUv3.0 .. 3 = SMMUv3.3. It settles address field widths and what is mandatory. */
  ArchMinorRev: number;
  /** IIDR: who made it (JEP106), and which. */
  Implementer: number;
  ProductID: number;
  Variant: number;
  Revision: number;

  /** Stage 2 translation. */
  S2P: number;
  /** Stage 1 translation. */
  S1P: number;
  /** Translation table formats, `TTF`; only AArch64 tables are modelled. */
  TTF: number;
  /** Accesses of the SMMU are coherent. */
  COHACC: number;
  /** Hardware update of access flag and dirty state, `HTTU`. */
  HTTU: number;
  /** EL2 stage 1 contexts (STE.STRW, CR2.E2H). */
  HYP: number;
  /** Address translation service of PCIe. */
  ATS: number;
  /** Split-stage ATS (STE.EATS = 0b10) is NOT there. */
  NS1ATS: number;
  /** 16-bit ASIDs, else 8. */
  ASID16: number;
  /** Interrupts as memory writes. */
  MSI: number;
  /** Events to waiting processors (WFE). */
  SEV: number;
  /** The PRI queue: page requests. */
  PRI: number;
  /** VMID wildcards, CR0.VMW. */
  VMW: number;
  /** 16-bit VMIDs, else 8. */
  VMID16: number;
  /** Two-level context descriptor tables. */
  CD2L: number;
  /** Endianness of translation tables, `TTENDIAN`. */
  TTENDIAN: number;
  /** CR2.REC_CFG_ATS. */
  ATSRECERR: number;
  /** `STALL_MODEL`. */
  STALL_MODEL: number;
  /** Faults always abort: no RAZ/WI. */
  TERM_MODEL: number;
  /** Two-level stream tables. */
  ST_LEVEL: number;

  /** Bits of a StreamID, 0..32. */
  SIDSIZE: number;
  /** Bits of a SubstreamID, 0..20; 0 = none. */
  SSIDSIZE: number;
  /** Largest queues, log2 of their entries, 0..19. */
  PRIQS: number;
  EVENTQS: number;
  CMDQS: number;
  /** INSTCFG and PRIVCFG have effect. */
  ATTR_PERMS_OVR: number;
  /** MemAttr, ALLOCCFG and SHCFG have effect. */
  ATTR_TYPES_OVR: number;

  /** Hierarchical attributes can be disabled (CD.HAD0, HAD1). */
  HAD: number;
  /** Stage 2 execute-never per exception level. */
  XNX: number;
  /** Automatic page responses carry the PASID of the request. */
  PPS: number;
  /** STE.S2FWB. */
  FWB: number;
  /** Small translation tables: TxSZ up to 48 (64 KiB granule: 47). */
  STT: number;
  /** Range invalidation and the level hint. */
  RIL: number;
  /** Break-before-make level, 0..2. */
  BBML: number;

  /** Output (physical) address size, `ADDRESS_SIZE`, at most 52 bits. */
  OAS: number;
  GRAN4K: number;
  GRAN16K: number;
  GRAN64K: number;
  /** Input addresses: 0 = 48 bits, 1 = 52 bits (64 KiB granule). */
  VAX: number;
  /** Stalled transactions at a time. */
  STALL_MAX: number;
}

/** Fields of ID registers that read 0, and what is therefore not there. */
export const NOT_MODELLED: Readonly<Record<string, string>> = {
  BTM: "broadcast TLB maintenance (DVM) from processors",
  DORMHINT: "STATUSR.DORMANT",
  ATOS: "address translation operations by register (GATOS_*)",
  VATOS: "the virtual ATOS page",
  RME_IMPL: "Realm state",
  REL: "relative bases of preset tables",
  QUEUES_PRESET: "queues at fixed addresses",
  TABLES_PRESET: "stream tables at fixed addresses",
  ECMDQ: "enhanced command queues",
  PBHA: "page-based hardware attributes",
  MPAM: "memory partitioning",
  E0PD: "CD.E0PD",
  PTWNNC: "table walks treat Device as Normal",
  DPT: "device permission tables",
  PASIDTT: "PASIDs on translated transactions",
  EPAN: "CD.EPAN",
  DS: "52-bit addresses with small granules (LPA2)",
  D128: "128-bit descriptors",
  BA_VATOS: "the virtual ATOS page",
  ArchMajorRev: "any major version but 3 (reads 0)",
};

/** The layout of each ID register, by its name. */
export const ID_LAYOUTS: Readonly<Record<"IDR0" | "IDR1" | "IDR2" | "IDR3" | "IDR5" | "IIDR" | "AIDR", Layout>> = {
  IDR0,
  IDR1,
  IDR2,
  IDR3,
  IDR5,
  IIDR,
  AIDR,
};

/** ID registers by name; those left out read 0 (IDR2, IDR4). */
export type IdRegisters = Partial<Record<keyof typeof ID_LAYOUTS, number>>;

/** A small modern SMMU; `smmuFeatures` starts from it. */
const DEFAULTS: Readonly<SmmuFeatures> = {
  ArchMinorRev: 2,
  Implementer: 0,
  ProductID: 0,
  Variant: 0,
  Revision: 0,
  S2P: 1,
  S1P: 1,
  TTF: TTF.AARCH64,
  COHACC: 1,
  HTTU: HTTU.ACCESS_DIRTY,
  HYP: 1,
  ATS: 1,
  NS1ATS: 0,
  ASID16: 1,
  MSI: 1,
  SEV: 0,
  PRI: 1,
  VMW: 0,
  VMID16: 1,
  CD2L: 1,
  TTENDIAN: TTENDIAN.LITTLE,
  ATSRECERR: 0,
  STALL_MODEL: STALL_MODEL.STALL_AND_TERMINATE,
  TERM_MODEL: 0,
  ST_LEVEL: 1,
  SIDSIZE: 16,
  SSIDSIZE: 20,
  PRIQS: 10,
  EVENTQS: 15,
  CMDQS: 15,
  ATTR_PERMS_OVR: 1,
  ATTR_TYPES_OVR: 1,
  HAD: 1,
  XNX: 1,
  PPS: 0,
  FWB: 1,
  STT: 1,
  RIL: 1,
  BBML: 2,
  OAS: ADDRESS_SIZE.BITS_48,
  GRAN4K: 1,
  GRAN16K: 1,
  GRAN64K: 1,
  VAX: 0,
  STALL_MAX: 32,
};

const NAMES = Object.keys(DEFAULTS) as (keyof SmmuFeatures)[];
/** A STAG has 16 bits. */
const STAGS = 65536;

/**
 * A complete, consistent feature set: `config` over the defaults (a v3.2 SMMU with everything modelled:
 * 20-bit SubstreamIDs, ATS, PRI, stalls, hardware access and dirty flags). Defaults that build on a
 * feature switched off are off too.
 *
 * @throws RangeError, TypeError naming the feature and the rule it breaks
 */
export function smmuFeatures(config: Partial<SmmuFeatures> = {}): SmmuFeatures {
  for (const name of Object.keys(config)) {
    if (!(name in DEFAULTS)) {
      const why = NOT_MODELLED[name];
      throw new TypeError(`${name}: ${why ? `not modelled: ${why}` : "no such feature"}`);
    }
  }
  const features = { ...DEFAULTS, ...config };
  for (const [name, base] of Object.entries(BUILDS_ON) as [keyof SmmuFeatures, keyof SmmuFeatures][]) {
    if (!features[base] && config[name] === undefined) features[name] = 0;
  }
  if (features.STALL_MODEL === STALL_MODEL.TERMINATE_ONLY) features.STALL_MAX = config.STALL_MAX ?? 0;
  const odd = oddities(checkFeatures(features))[0];
  if (odd) throw new RangeError(odd);
  return features;
}

/**
 * The features that the ID registers of a machine or of another model announce. Oddities are let pass,
 * see `oddities`.
 * @throws RangeError when they contradict themselves, or announce what is not modelled
 */
export function featuresFromIds(ids: IdRegisters): SmmuFeatures {
  const features = { ...DEFAULTS };
  for (const [register, layout] of Object.entries(ID_LAYOUTS)) {
    const value = checkInteger(register, ids[register as keyof IdRegisters] ?? 0, 0, 0xffff_ffff);
    for (const { name, value: bits } of describe(layout, [BigInt(value)])) {
      const why = NOT_MODELLED[name];
      if (why === undefined) features[name as keyof SmmuFeatures] = Number(bits);
      else if (bits) throw new RangeError(`${register}.${name}: ${bits}, but not modelled: ${why}`);
    }
  }
  return checkFeatures(features);
}

/** The ID registers of a feature set. */
export function idRegisters(features: SmmuFeatures): Required<IdRegisters> {
  const word = (layout: Layout): number => {
    const names = NAMES.filter((name) => name in layout);
    return Number(build(layout, 1, Object.fromEntries(names.map((name) => [name, features[name]])))[0]);
  };
  return {
    IDR0: word(IDR0),
    IDR1: word(IDR1),
    IDR2: word(IDR2),
    IDR3: word(IDR3),
    IDR5: word(IDR5),
    IIDR: word(IIDR),
    AIDR: word(AIDR),
  };
}

/** Physical address bits. */
export function oasBits(features: SmmuFeatures): number {
  return [32, 36, 40, 42, 44, 48, 52][features.OAS] as number;
}

/** Highest bit of an address field in a register or command: 47 before v3.1, then 51. */
export function addressMsb(features: SmmuFeatures): number {
  return features.ArchMinorRev === 0 ? 47 : 51;
}

/** Stalled transactions at a time; STALL_MAX = 0 of an SMMU that stalls says nothing, so as many as STAGs. */
export function stallLimit(features: SmmuFeatures): number {
  if (features.STALL_MODEL === STALL_MODEL.TERMINATE_ONLY) return 0;
  return features.STALL_MAX || STAGS;
}

/** Every value fits its field, and the values do not contradict each other. */
function checkFeatures(features: SmmuFeatures): SmmuFeatures {
  for (const layout of Object.values(ID_LAYOUTS)) {
    for (const { name, msb, lsb } of fieldsOf(layout)) {
      if (name in features) checkInteger(name, features[name as keyof SmmuFeatures], 0, 2 ** (msb - lsb + 1) - 1);
    }
  }
  const wrong = contradictions(features)[0];
  if (wrong) throw new RangeError(wrong);
  return features;
}
