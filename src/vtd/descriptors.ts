/**
 * Invalidation descriptors: which types there are, and which of their bits are reserved.
 *
 * Intel D51397, rev 5.10, "Queued Invalidation Interface" and the descriptors after it.
 */
import {
  CC_INV,
  DESCRIPTOR,
  DEV_TLB_INV,
  HPT_INV,
  IEC_INV,
  INV_WAIT,
  IOTLB_INV,
  P_DEV_TLB_INV,
  P_IOTLB_G,
  P_IOTLB_INV,
  PAGE_GRP_RESP,
  PC_G,
  PC_INV,
  TYPE,
  TYPE_LOW_BITS,
} from "../../assembly/layout/vtd-descriptors.ts";
import { GRANULARITY, IQEI } from "../../assembly/layout/vtd-registers.ts";
import { getField, type Layout, unnamedBits } from "../structure.ts";
import type { VtdFeature, VtdFeatures } from "./features.ts";

export interface DescriptorKind {
  readonly type: TYPE;
  readonly name: string;
  readonly layout: Layout;
  /** Only in the 256-bit queue. */
  readonly wide: boolean;
  /** Without this feature the type does not exist. */
  readonly needs?: VtdFeature;
  /** Fields that are reserved without a feature. */
  readonly optional?: { readonly feature: VtdFeature; readonly fields: readonly string[] };
  /** Granularity: the field, and its reserved values. */
  readonly granularity?: { readonly field: number; readonly reserved: readonly number[] };
}

const THROTTLE = { feature: "DIT", fields: ["PFSID_LOW", "PFSID_HIGH", "MIP"] } as const;

export const DESCRIPTORS: readonly DescriptorKind[] = [
  {
    type: TYPE.CC_INV,
    name: "cc_inv",
    layout: CC_INV,
    wide: false,
    granularity: { field: CC_INV.G, reserved: [GRANULARITY.RESERVED] },
  },
  {
    type: TYPE.IOTLB_INV,
    name: "iotlb_inv",
    layout: IOTLB_INV,
    wide: false,
    granularity: { field: IOTLB_INV.G, reserved: [GRANULARITY.RESERVED] },
  },
  { type: TYPE.DEV_TLB_INV, name: "dev_tlb_inv", layout: DEV_TLB_INV, wide: false, needs: "DT", optional: THROTTLE },
  { type: TYPE.IEC_INV, name: "iec_inv", layout: IEC_INV, wide: false, needs: "IR" },
  {
    type: TYPE.INV_WAIT,
    name: "inv_wait",
    layout: INV_WAIT,
    wide: false,
    optional: { feature: "PDS", fields: ["PD"] },
  },
  {
    type: TYPE.P_IOTLB_INV,
    name: "p_iotlb_inv",
    layout: P_IOTLB_INV,
    wide: true,
    needs: "SMTS",
    granularity: { field: P_IOTLB_INV.G, reserved: reservedBut(P_IOTLB_G.PASID, P_IOTLB_G.PAGE) },
  },
  {
    type: TYPE.PC_INV,
    name: "pc_inv",
    layout: PC_INV,
    wide: true,
    needs: "SMTS",
    granularity: { field: PC_INV.G, reserved: [PC_G.RESERVED] },
  },
  {
    type: TYPE.P_DEV_TLB_INV,
    name: "p_dev_tlb_inv",
    layout: P_DEV_TLB_INV,
    wide: true,
    needs: "DT",
    optional: THROTTLE,
  },
  { type: TYPE.PAGE_GRP_RESP, name: "page_grp_resp", layout: PAGE_GRP_RESP, wide: true, needs: "PRS" },
  {
    type: TYPE.HPT_INV,
    name: "hpt_inv",
    layout: HPT_INV,
    wide: true,
    needs: "HPTS",
    granularity: { field: HPT_INV.G, reserved: [GRANULARITY.RESERVED] },
  },
];

/** All values of a two-bit granularity but these. */
function reservedBut(...legal: number[]): number[] {
  return [0, 1, 2, 3].filter((value) => !legal.includes(value));
}

/** A descriptor's type: two fields that are not next to each other. */
export function descriptorType(words: readonly bigint[]): number {
  const high = Number(getField(words, DESCRIPTOR.TYPE_HIGH));
  return Number(getField(words, DESCRIPTOR.TYPE_LOW)) + high * 2 ** TYPE_LOW_BITS;
}

/** Types and reserved bits for one unit's features. */
export class DescriptorSet {
  readonly #features: Readonly<VtdFeatures>;
  readonly #kinds = new Map<number, { kind: DescriptorKind; layout: Layout }>();

  constructor(features: Readonly<VtdFeatures>) {
    this.#features = features;
    for (const kind of DESCRIPTORS) {
      if (kind.needs && !features[kind.needs]) continue;
      const { optional } = kind;
      const reserved = optional && !features[optional.feature] ? optional.fields : [];
      const named = Object.entries(kind.layout).filter(([name]) => !reserved.includes(name));
      this.#kinds.set(kind.type, { kind, layout: { ...Object.fromEntries(named), ...DESCRIPTOR } });
    }
  }

  /**
   * The kind of a descriptor, or why it is invalid.
   * @param wide in a 256-bit queue
   * @param legacy legacy mode, where only the types of the 128-bit queue are legal
   */
  classify(words: readonly bigint[], wide: boolean, legacy: boolean): DescriptorKind | IQEI {
    const found = this.#kinds.get(descriptorType(words));
    // § 6.5.2: scalable-mode types exist neither in a 128-bit queue nor in legacy mode.
    if (!found || (found.kind.wide && (!wide || legacy))) return IQEI.TYPE;
    const { kind, layout } = found;
    if (unnamedBits(layout, words).some((bits) => bits !== 0n)) return IQEI.RESERVED;
    const { granularity } = kind;
    if (granularity && this.#isReserved(kind, Number(getField(words, granularity.field)), words)) return IQEI.RESERVED;
    return kind;
  }

  #isReserved(kind: DescriptorKind, granularity: number, words: readonly bigint[]): boolean {
    if (kind.granularity?.reserved.includes(granularity)) return true;
    if (kind.type !== TYPE.IOTLB_INV || granularity !== GRANULARITY.SELECTIVE) return false;
    // § 6.5.2.3: page-selective needs CAP.PSI, and an address mask up to CAP.MAMV.
    return !this.#features.PSI || getField(words, IOTLB_INV.AM) > BigInt(this.#features.MAMV);
  }
}
