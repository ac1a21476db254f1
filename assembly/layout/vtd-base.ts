/**
 * Where a VT-d unit's tables begin, and whether it goes by them: the registers that a walk depends on besides
 * capabilities. Intel D51397, rev 5.10, 11.4.4 and 11.4.5. A field is `msb << 16 | lsb` of its register.
 */

export enum GSTS {
  CFIS = (23 << 16) | 23,
  IRTPS = (24 << 16) | 24,
  IRES = (25 << 16) | 25,
  QIES = (26 << 16) | 26,
  WBFS = (27 << 16) | 27,
  RTPS = (30 << 16) | 30,
  TES = (31 << 16) | 31,
}

export enum RTADDR {
  SSIRWE = (7 << 16) | 7,
  TTM = (11 << 16) | 10,
  RTA = (63 << 16) | 12,
}

/** RTADDR.TTM */
export enum TTM {
  LEGACY = 0,
  SCALABLE = 1,
  RESERVED = 2,
  ABORT_DMA = 3,
}
