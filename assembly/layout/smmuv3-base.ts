/**
 * Where an SMMUv3's tables begin. Arm IHI 0070, 6.3. A field is `msb << 16 | lsb` of its register.
 */

/** 64 bits. */
export enum STRTAB_BASE {
  ADDR = (55 << 16) | 6,
  RA = (62 << 16) | 62,
}

export enum STRTAB_BASE_CFG {
  LOG2SIZE = (5 << 16) | 0,
  SPLIT = (10 << 16) | 6,
  FMT = (17 << 16) | 16,
}
