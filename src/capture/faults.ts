/**
 * From the fault number that a recorder reported to the architecture's.
 *
 * Captures without PASIDs were answered by QEMU's own models, which report some faults under another
 * number than VT-d (rev 5.10, 7.1.3) or SMMUv3 (IHI 0070, 7.3) gives them. Captures with PASIDs carry the
 * architecture's numbers. What is not in these tables must match as it stands.
 */

/**
 * VT-d, scalable mode: QEMU keeps legacy mode's reasons for root, context and second-stage faults.
 * Where several are listed, the tables decide which one holds and QEMU does not tell them apart.
 */
const QEMU_SCALABLE: Readonly<Record<number, readonly number[]>> = {
  1: [0x39], // root entry not present
  2: [0x41], // context entry not present
  3: [0x43, 0x5b, 0x7b], // context or PASID entry asks for what is unsupported; top second-stage entry unreadable
  4: [0x83, 0x84], // address above what pass-through or second stage takes
  5: [0x79, 0x85], // second stage: nothing granted, or no write permission
  6: [0x79, 0x86], // second stage: nothing granted, or no read permission
  7: [0x78], // second-stage entry unreadable
  8: [0x38], // root entry unreadable
  9: [0x40], // context entry unreadable
  10: [0x3a], // root entry, reserved bits
  11: [0x42], // context entry, reserved bits
  12: [0x7a], // second-stage entry, reserved bits
  14: [0x87], // output in the interrupt range
  91: [0x5b, 0x59], // a PASID entry that is all zero: QEMU looks at its type before its P bit
};

/** SMMUv3: a StreamID beyond the level-1 descriptor's span is C_BAD_STREAMID; QEMU says C_BAD_STE. */
const QEMU_SMMU: Readonly<Record<number, readonly number[]>> = {
  4: [0x04, 0x02],
};

/**
 * A PASID may be too wide for ECAP.PSS and for the context entry's PDTS at once; the specification does not
 * say which of 46h and 89h comes first.
 */
const UNORDERED: Readonly<Record<number, readonly number[]>> = {
  70: [0x46, 0x89],
};

/** Who numbered a fault, and for which tables. */
export type FaultDialect = "vtd" | "smmuv3" | "qemu-vtd-scalable" | "qemu-smmuv3";

const TABLES: Readonly<Record<FaultDialect, Readonly<Record<number, readonly number[]>>>> = {
  vtd: UNORDERED,
  smmuv3: {},
  "qemu-vtd-scalable": QEMU_SCALABLE,
  "qemu-smmuv3": QEMU_SMMU,
};

/** The architecture's numbers that a recorded fault can stand for. */
export function architectureFaults(recorded: number, dialect: FaultDialect): readonly number[] {
  return TABLES[dialect][recorded] ?? [recorded];
}
