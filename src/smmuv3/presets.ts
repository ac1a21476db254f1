/** Named feature sets: what known SMMUs announce in their ID registers. */
import { ADDRESS_SIZE, HTTU, STALL_MODEL } from "../../assembly/layout/smmuv3-ids.ts";
import { lazily } from "../lazy.ts";
import { featuresFromIds, type SmmuFeatures, smmuFeatures } from "./features.ts";

export type SmmuPreset = "qemu" | "gem5" | "server" | "smallest";

export const SMMU_PRESETS: Readonly<Record<SmmuPreset, Readonly<SmmuFeatures>>> = lazily({
  /** QEMU 11.1, machine "virt": both stages, no substreams, faults terminate, 44-bit addresses. */
  qemu: () => featuresFromIds({ IDR0: 0x0d44_101b, IDR1: 0x0273_0010, IDR3: 0x1414, IDR5: 0x74, AIDR: 1 }),
  /**
   * gem5's defaults: SMMUv3.0, one StreamID, command queue of 128 and event queue of one entry. TTF
   * there is 3; AArch32 tables are not modelled.
   */
  gem5: () => featuresFromIds({ IDR0: 0x094c_100b, IDR1: 0x00e0_0000, IDR3: 0, IDR5: 0x55, AIDR: 0 }),
  /** A v3.2 server part: 20-bit SubstreamIDs, ATS with split stages, PRI, stalls, access and dirty flags. */
  server: () => featuresFromIds({ IDR0: 0x084d_369b, IDR1: 0x0def_5510, IDR3: 0x1714, IDR5: 0x0020_0075, AIDR: 2 }),
  /** As little as an SMMUv3 can be: stage 1, one stream, one granule, queues of one entry. */
  smallest: () =>
    smmuFeatures({
      ArchMinorRev: 0,
      S2P: 0,
      COHACC: 0,
      HTTU: HTTU.NONE,
      HYP: 0,
      ATS: 0,
      ASID16: 0,
      MSI: 0,
      STALL_MODEL: STALL_MODEL.TERMINATE_ONLY,
      TERM_MODEL: 1,
      ST_LEVEL: 0,
      SIDSIZE: 0,
      SSIDSIZE: 0,
      EVENTQS: 0,
      CMDQS: 0,
      ATTR_PERMS_OVR: 0,
      ATTR_TYPES_OVR: 0,
      HAD: 0,
      STT: 0,
      RIL: 0,
      BBML: 0,
      OAS: ADDRESS_SIZE.BITS_32,
      GRAN16K: 0,
      GRAN64K: 0,
    }),
});
