/**
 * The virtual command interface as data: where its registers lie and what their fields mean.
 *
 * Revision 3.3 moved registers and fields, and Linux followed late, once with the right layout and the
 * wrong status code before. Device and guest driver take the same table, so that a mismatch is a
 * choice of two tables.
 */
import {
  REG,
  REG_BEFORE_3_3,
  VCCAP,
  VCCAP_BEFORE_3_3,
  VCMD,
  VCMD_BEFORE_3_3,
  VCRSP,
  VCRSP_BEFORE_3_3,
  VCRSP_STATUS,
  VCRSP_STATUS_BEFORE_3_3,
} from "../../assembly/layout/vtd-registers.ts";
import type { Layout } from "../structure.ts";

export interface VcmdLayout {
  readonly registers: { readonly VCCAP: number; readonly VCMD: number; readonly VCRSP: number };
  readonly VCCAP: Layout;
  readonly VCMD: Layout;
  readonly VCRSP: Layout;
  /** Fields, `msb << 16 | lsb`. */
  readonly command: number;
  readonly freePasid: number;
  readonly inProgress: number;
  readonly status: number;
  readonly allocatedPasid: number;
  /** What a driver of the time takes for "PASIDs can be allocated". */
  readonly pasidSupport: number;
  /** VCCAP of a device that supports all there is. */
  readonly capabilities: readonly number[];
  /** VCRSP.SC */
  readonly undefinedCommand: number;
  readonly noPasid: number;
}

/** Revision 3.0 to 3.2. */
const BEFORE_3_3: VcmdLayout = {
  registers: REG_BEFORE_3_3,
  VCCAP: VCCAP_BEFORE_3_3,
  VCMD: VCMD_BEFORE_3_3,
  VCRSP: VCRSP_BEFORE_3_3,
  command: VCMD_BEFORE_3_3.COMMAND,
  freePasid: VCMD_BEFORE_3_3.PASID,
  inProgress: VCRSP_BEFORE_3_3.IP,
  status: VCRSP_BEFORE_3_3.SC,
  allocatedPasid: VCRSP_BEFORE_3_3.PASID,
  pasidSupport: VCCAP_BEFORE_3_3.PAS,
  capabilities: [VCCAP_BEFORE_3_3.PAS],
  undefinedCommand: VCRSP_STATUS_BEFORE_3_3.UNDEFINED_COMMAND,
  noPasid: VCRSP_STATUS_BEFORE_3_3.NO_PASID,
};

/** Revision 3.3 and later. */
const SINCE_3_3: VcmdLayout = {
  registers: REG,
  VCCAP,
  VCMD,
  VCRSP,
  command: VCMD.COMMAND,
  freePasid: VCMD.PASID,
  inProgress: VCRSP.IP,
  status: VCRSP.SC,
  allocatedPasid: VCRSP.PASID,
  // Linux never learned that the bit had moved; devices report both.
  pasidSupport: VCCAP_BEFORE_3_3.PAS,
  capabilities: [VCCAP.NS, VCCAP.PAS, VCCAP.FPS],
  undefinedCommand: VCRSP_STATUS.UNDEFINED_COMMAND,
  noPasid: VCRSP_STATUS.NO_PASID,
};

/** Linux v5.8 to v5.11 took this status for "none left", where the specification says 2. */
const LINUX_5_8_NO_PASID = 1;

/**
 * "A": Linux v5.8 to v5.11 (old layout, wrong status). "B": v5.12 (old layout). "C": the layout of
 * revision 3.3, in Linux from v5.15 until the driver went in v6.4.
 */
export type VcmdEra = "A" | "B" | "C";
export const VCMD_ERAS: readonly VcmdEra[] = ["A", "B", "C"];

export const VCMD_LAYOUTS: Readonly<Record<VcmdEra, VcmdLayout>> = {
  A: { ...BEFORE_3_3, noPasid: LINUX_5_8_NO_PASID },
  B: BEFORE_3_3,
  C: SINCE_3_3,
};
