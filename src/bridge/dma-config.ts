/** Configuration space of the DMA engine: PCI Express, MSI, ATS, PRI and PASID, and what they allow now. */
import {
  ATS,
  ATS_CAPABILITY,
  ATS_CONTROL,
  CAPABILITY_ID,
  CLASS_OTHER,
  COMMAND,
  CONFIG,
  DEVICE_CAPABILITIES,
  DEVICE_CAPABILITIES_2,
  DEVICE_CONTROL,
  EXTENDED_CONFIG_BYTES,
  EXTENDED_ID,
  FIRST_EXTENDED,
  MSI,
  MSI_ADDRESS,
  MSI_CONTROL,
  MSI_VECTOR,
  PASID,
  PASID_CAPABILITY,
  PASID_CONTROL,
  PCIE,
  PCIE_CAPABILITIES,
  PCIE_TYPE_RCIEP,
  PRI,
  PRI_CONTROL,
  PRI_STATUS,
} from "../../assembly/layout/pci.ts";
import { getBits, maskOf, putBits } from "../structure.ts";
import { ConfigSpace } from "./config-space.ts";

export const DMA_VENDOR = 0x1234;
export const DMA_DEVICE = 0xd3a2;

/** Where the capabilities are. */
const PCIE_AT = 0x40;
const MSI_AT = 0x80;
const ATS_AT = FIRST_EXTENDED;
const PRI_AT = 0x110;
const PASID_AT = 0x120;

const PASID_BITS = 20;
/** The engine has one page request under way at a time. */
const PAGE_REQUEST_CAPACITY = 1n;
const PCIE_VERSION = 2;

/** A value with these fields set: a lone field stands for all ones. */
function fields(...values: (number | readonly [field: number, value: number])[]): bigint {
  return values.reduce<bigint>(
    (word, entry) => (typeof entry === "number" ? word | maskOf(entry) : putBits(word, entry[0], entry[1])),
    0n,
  );
}

export class DmaConfig {
  readonly space: ConfigSpace;

  constructor(bar0Bytes: number) {
    const space = new ConfigSpace({
      bytes: EXTENDED_CONFIG_BYTES,
      vendor: DMA_VENDOR,
      device: DMA_DEVICE,
      classCode: CLASS_OTHER,
      bar0Bytes,
    });
    this.space = space;
    addPcie(space);
    addMsi(space);
    addExtended(space);
  }

  get isBusMaster(): boolean {
    return this.space.has(CONFIG.COMMAND, COMMAND.BUS_MASTER);
  }
  get hasAts(): boolean {
    return this.space.has(ATS_AT + ATS.CONTROL, ATS_CONTROL.ENABLE);
  }
  get hasPasid(): boolean {
    return this.space.has(PASID_AT + PASID.CONTROL, PASID_CONTROL.ENABLE);
  }
  get mayBePrivileged(): boolean {
    return this.space.has(PASID_AT + PASID.CONTROL, PASID_CONTROL.PRIVILEGED);
  }
  /** Page requests need a switch, an allocation, and no failure that software has not seen to. */
  get hasPri(): boolean {
    return (
      this.space.has(PRI_AT + PRI.CONTROL, PRI_CONTROL.ENABLE) &&
      this.space.get(PRI_AT + PRI.ALLOCATION, 4) >= PAGE_REQUEST_CAPACITY &&
      !this.space.has(PRI_AT + PRI.STATUS, PRI_STATUS.RESPONSE_FAILURE)
    );
  }

  /** Where an interrupt goes; undefined: it must not be sent. A masked one is remembered. */
  interrupt(): { address: bigint; data: number } | undefined {
    const { space } = this;
    if (!this.isBusMaster || !space.has(MSI_AT + MSI.CONTROL, MSI_CONTROL.ENABLE)) return undefined;
    if (getBits(space.get(MSI_AT + MSI.MASK, 4), MSI_VECTOR.FIRST)) {
      space.set(MSI_AT + MSI.PENDING, 4, maskOf(MSI_VECTOR.FIRST));
      return undefined;
    }
    space.set(MSI_AT + MSI.PENDING, 4, 0n);
    const upper = space.get(MSI_AT + MSI.UPPER_ADDRESS, 4);
    return {
      address: (upper << 32n) | space.get(MSI_AT + MSI.ADDRESS, 4),
      data: Number(space.get(MSI_AT + MSI.DATA, 2)),
    };
  }

  /** Whether an interrupt waits for being unmasked. */
  get isPending(): boolean {
    return this.space.get(MSI_AT + MSI.PENDING, 4) !== 0n;
  }

  /** A page group response said failure, or belongs to no request. */
  noteResponse(problem: "failure" | "unexpected"): void {
    const bit = problem === "failure" ? PRI_STATUS.RESPONSE_FAILURE : PRI_STATUS.UNEXPECTED_GROUP;
    const at = PRI_AT + PRI.STATUS;
    this.space.set(at, 2, this.space.get(at, 2) | maskOf(bit));
  }

  /** What software writes. @returns whether it asks for a function level reset */
  write(offset: number, data: Uint8Array): boolean {
    this.space.write(offset, data);
    const control = PCIE_AT + PCIE.DEVICE_CONTROL;
    if (this.space.has(control, DEVICE_CONTROL.FUNCTION_LEVEL_RESET)) return true;
    this.#updatePri();
    return false;
  }

  /** PCIe 7.8.9: reset clears the status and itself; stopped means switched off with nothing under way. */
  #updatePri(): void {
    const { space } = this;
    const control = space.get(PRI_AT + PRI.CONTROL, 2);
    const isOn = getBits(control, PRI_CONTROL.ENABLE) === 1n;
    let status = putBits(space.get(PRI_AT + PRI.STATUS, 2), PRI_STATUS.STOPPED, isOn ? 0 : 1);
    if (getBits(control, PRI_CONTROL.RESET)) {
      status &= ~fields(PRI_STATUS.RESPONSE_FAILURE, PRI_STATUS.UNEXPECTED_GROUP);
      space.set(PRI_AT + PRI.CONTROL, 2, putBits(control, PRI_CONTROL.RESET, 0));
    }
    space.set(PRI_AT + PRI.STATUS, 2, status);
  }
}

function addPcie(space: ConfigSpace): void {
  space.addCapability(CAPABILITY_ID.PCIE, PCIE_AT);
  space.define({
    offset: PCIE_AT + PCIE.CAPABILITIES,
    bytes: 2,
    value: fields([PCIE_CAPABILITIES.VERSION, PCIE_VERSION], [PCIE_CAPABILITIES.TYPE, PCIE_TYPE_RCIEP]),
  });
  const { EXTENDED_TAG, ROLE_BASED_ERRORS, FUNCTION_LEVEL_RESET } = DEVICE_CAPABILITIES;
  space.define({
    offset: PCIE_AT + PCIE.DEVICE_CAPABILITIES,
    bytes: 4,
    value: fields(EXTENDED_TAG, ROLE_BASED_ERRORS, FUNCTION_LEVEL_RESET),
  });
  // The reset bit takes a 1, which is seen and gone before anyone reads it.
  const { SETTINGS } = DEVICE_CONTROL;
  space.define({
    offset: PCIE_AT + PCIE.DEVICE_CONTROL,
    bytes: 2,
    writable: fields(SETTINGS, DEVICE_CONTROL.FUNCTION_LEVEL_RESET),
  });
  const { END_TO_END_PREFIX, MAX_PREFIXES } = DEVICE_CAPABILITIES_2;
  space.define({
    offset: PCIE_AT + PCIE.DEVICE_CAPABILITIES_2,
    bytes: 4,
    value: fields(END_TO_END_PREFIX, [MAX_PREFIXES, 1]),
  });
}

function addMsi(space: ConfigSpace): void {
  space.addCapability(CAPABILITY_ID.MSI, MSI_AT);
  const { ENABLE, MULTIPLE_ENABLE, ADDRESS_64, MASKABLE } = MSI_CONTROL;
  space.define({
    offset: MSI_AT + MSI.CONTROL,
    bytes: 2,
    value: fields(ADDRESS_64, MASKABLE),
    writable: fields(ENABLE, MULTIPLE_ENABLE),
  });
  space.define({ offset: MSI_AT + MSI.ADDRESS, bytes: 4, writable: fields(MSI_ADDRESS.ADDRESS) });
  space.define({ offset: MSI_AT + MSI.UPPER_ADDRESS, bytes: 4, writable: 0xffff_ffffn });
  space.define({ offset: MSI_AT + MSI.DATA, bytes: 2, writable: 0xffffn });
  space.define({ offset: MSI_AT + MSI.MASK, bytes: 4, writable: fields(MSI_VECTOR.FIRST) });
}

function addExtended(space: ConfigSpace): void {
  space.addExtendedCapability(EXTENDED_ID.ATS, ATS_AT);
  space.define({
    offset: ATS_AT + ATS.CAPABILITY,
    bytes: 2,
    value: fields(ATS_CAPABILITY.PAGE_ALIGNED, ATS_CAPABILITY.GLOBAL_INVALIDATE),
  });
  space.define({ offset: ATS_AT + ATS.CONTROL, bytes: 2, writable: fields(ATS_CONTROL.STU, ATS_CONTROL.ENABLE) });

  space.addExtendedCapability(EXTENDED_ID.PRI, PRI_AT);
  space.define({ offset: PRI_AT + PRI.CONTROL, bytes: 2, writable: fields(PRI_CONTROL.ENABLE, PRI_CONTROL.RESET) });
  space.define({
    offset: PRI_AT + PRI.STATUS,
    bytes: 2,
    value: fields(PRI_STATUS.STOPPED, PRI_STATUS.PASID_REQUIRED),
    clearable: fields(PRI_STATUS.RESPONSE_FAILURE, PRI_STATUS.UNEXPECTED_GROUP),
  });
  space.define({ offset: PRI_AT + PRI.CAPACITY, bytes: 4, value: PAGE_REQUEST_CAPACITY });
  space.define({ offset: PRI_AT + PRI.ALLOCATION, bytes: 4, writable: 0xffff_ffffn });

  space.addExtendedCapability(EXTENDED_ID.PASID, PASID_AT);
  space.define({
    offset: PASID_AT + PASID.CAPABILITY,
    bytes: 2,
    value: fields(PASID_CAPABILITY.PRIVILEGED, [PASID_CAPABILITY.WIDTH, PASID_BITS]),
  });
  space.define({
    offset: PASID_AT + PASID.CONTROL,
    bytes: 2,
    writable: fields(PASID_CONTROL.ENABLE, PASID_CONTROL.PRIVILEGED),
  });
}
