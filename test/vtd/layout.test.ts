/**
 * VT-d layouts against second sources: what Linux's and QEMU's headers say of the same bits (shift and
 * width, as their macros have them), the capability registers of real machines, and entries that a
 * Linux kernel wrote.
 */
import { readFileSync } from "node:fs";
import { expect, describe as group, it } from "vitest";
import { CONTEXT, FSPTE, IRTE, PASID, PASIDDIR, ROOT, SCONTEXT, SROOT, SSPTE } from "../../assembly/layout/vtd.ts";
import { GSTS, RTADDR } from "../../assembly/layout/vtd-base.ts";
import { CAP, ECAP, VER } from "../../assembly/layout/vtd-capabilities.ts";
import {
  CC_INV,
  DESCRIPTOR,
  DEV_TLB_INV,
  IEC_INV,
  INV_WAIT,
  IOTLB_INV,
  P_DEV_TLB_INV,
  P_IOTLB_INV,
  PAGE_GRP_RESP,
  PAGE_REQ,
  PC_INV,
} from "../../assembly/layout/vtd-descriptors.ts";
import {
  CCMD,
  EVENT_CTL,
  FRCD,
  FSTS,
  GCMD,
  IOTLB_REG,
  IQA,
  IQERCD,
  IRTA,
  IVA,
  PMEN,
  PRS,
  REG,
  VCMD,
  VCRSP,
} from "../../assembly/layout/vtd-registers.ts";
import { getField, getInPlace, type Layout } from "../../src/structure.ts";

/** Field -> [shift, width], absolute within the structure. */
type Golden = Readonly<Record<string, readonly [shift: number, width: number]>>;

const GOLDEN: readonly (readonly [string, Layout, Golden])[] = [
  ["VER", VER, { MAX: [4, 4], MIN: [0, 4] }],
  [
    "CAP",
    CAP,
    {
      ND: [0, 3],
      RWBF: [4, 1],
      PLMR: [5, 1],
      PHMR: [6, 1],
      CM: [7, 1],
      SAGAW: [8, 5],
      MGAW: [16, 6],
      ZLR: [22, 1],
      FRO: [24, 10],
      SSLPS: [34, 4],
      PSI: [39, 1],
      NFR: [40, 8],
      MAMV: [48, 6],
      DWD: [54, 1],
      DRD: [55, 1],
      FS1GP: [56, 1],
      PI: [59, 1],
      FS5LP: [60, 1],
      ECMDS: [61, 1],
      ESIRTPS: [62, 1],
      ESRTPS: [63, 1],
    },
  ],
  [
    "ECAP",
    ECAP,
    {
      C: [0, 1],
      QI: [1, 1],
      DT: [2, 1],
      IR: [3, 1],
      EIM: [4, 1],
      PT: [6, 1],
      SC: [7, 1],
      IRO: [8, 10],
      MHMV: [20, 4],
      MTS: [25, 1],
      NEST: [26, 1],
      PRS: [29, 1],
      ERS: [30, 1],
      SRS: [31, 1],
      NWFS: [33, 1],
      EAFS: [34, 1],
      PSS: [35, 5],
      PASID: [40, 1],
      DIT: [41, 1],
      PDS: [42, 1],
      SMTS: [43, 1],
      VCS: [44, 1],
      SSADS: [45, 1],
      SSTS: [46, 1],
      FSTS: [47, 1],
      SMPWCS: [48, 1],
      RPS: [49, 1],
      PMS: [51, 1],
    },
  ],
  [
    "GCMD",
    GCMD,
    { TE: [31, 1], SRTP: [30, 1], WBF: [27, 1], QIE: [26, 1], IRE: [25, 1], SIRTP: [24, 1], CFI: [23, 1] },
  ],
  [
    "GSTS",
    GSTS,
    { TES: [31, 1], RTPS: [30, 1], WBFS: [27, 1], QIES: [26, 1], IRES: [25, 1], IRTPS: [24, 1], CFIS: [23, 1] },
  ],
  ["RTADDR", RTADDR, { TTM: [10, 2], RTA: [12, 52] }],
  ["CCMD", CCMD, { ICC: [63, 1], CIRG: [61, 2], CAIG: [59, 2], FM: [32, 2], SID: [16, 16], DID: [0, 16] }],
  ["IOTLB_REG", IOTLB_REG, { IVT: [63, 1], IIRG: [60, 2], IAIG: [57, 2], DR: [49, 1], DW: [48, 1], DID: [32, 16] }],
  ["IVA", IVA, { ADDR: [12, 52], IH: [6, 1], AM: [0, 6] }],
  ["FSTS", FSTS, { PFO: [0, 1], PPF: [1, 1], IQE: [4, 1], ICE: [5, 1], ITE: [6, 1], FRI: [8, 8] }],
  ["EVENT_CTL", EVENT_CTL, { IM: [31, 1], IP: [30, 1] }],
  ["PMEN", PMEN, { EPM: [31, 1], PRS: [0, 1] }],
  ["IQA", IQA, { QS: [0, 3], DW: [11, 1], IQA: [12, 52] }],
  ["IQERCD", IQERCD, { IQEI: [0, 4], ITESID: [32, 16], ICESID: [48, 16] }],
  ["IRTA", IRTA, { S: [0, 4], EIME: [11, 1], IRTA: [12, 52] }],
  ["PRS", PRS, { PPR: [0, 1], PRO: [1, 1] }],
  ["VCMD", VCMD, { COMMAND: [0, 8] }],
  ["VCRSP", VCRSP, { IP: [0, 1], SC: [1, 7] }],
  ["FRCD", FRCD, { FI: [12, 52], SID: [64, 16], PP: [95, 1], FR: [96, 8], PV: [104, 20], T1: [126, 1], F: [127, 1] }],
  ["root entry", ROOT, { P: [0, 1], CTP: [12, 52] }],
  ["scalable root entry", SROOT, { LP: [0, 1], LCTP: [12, 52], UP: [64, 1], UCTP: [76, 52] }],
  ["context entry", CONTEXT, { P: [0, 1], FPD: [1, 1], TT: [2, 2], SSPTPTR: [12, 52], AW: [64, 3], DID: [72, 16] }],
  [
    "scalable context entry",
    SCONTEXT,
    {
      P: [0, 1],
      FPD: [1, 1],
      DTE: [2, 1],
      PASIDE: [3, 1],
      PRE: [4, 1],
      PDTS: [9, 3],
      PASIDDIRPTR: [12, 52],
      RID_PASID: [64, 20],
    },
  ],
  ["PASID directory entry", PASIDDIR, { P: [0, 1], FPD: [1, 1], SMPTBLPTR: [12, 52] }],
  [
    "PASID table entry",
    PASID,
    {
      P: [0, 1],
      FPD: [1, 1],
      AW: [2, 3],
      PGTT: [6, 3],
      SSADE: [9, 1],
      SSPTPTR: [12, 52],
      DID: [64, 16],
      PWSNP: [87, 1],
      PGSNP: [88, 1],
      SRE: [128, 1],
      FSPM: [130, 2],
      WPE: [132, 1],
      EAFE: [135, 1],
      FSPTPTR: [140, 52],
    },
  ],
  ["first-stage entry", FSPTE, { P: [0, 1], RW: [1, 1], US: [2, 1], A: [5, 1], D: [6, 1], PS: [7, 1], ADDR: [12, 40] }],
  [
    "second-stage entry",
    SSPTE,
    { R: [0, 1], W: [1, 1], PS: [7, 1], A: [8, 1], D: [9, 1], SNP: [11, 1], ADDR: [12, 40] },
  ],
  [
    "IRTE",
    IRTE,
    {
      P: [0, 1],
      FPD: [1, 1],
      DM: [2, 1],
      RH: [3, 1],
      TM: [4, 1],
      DLM: [5, 3],
      AVAIL: [8, 4],
      URG: [14, 1],
      IM: [15, 1],
      V: [16, 8],
      DST: [32, 32],
      SID: [64, 16],
      SQ: [80, 2],
      SVT: [82, 2],
    },
  ],
  ["cc_inv", CC_INV, { G: [4, 2], DID: [16, 16], SID: [32, 16], FM: [48, 2] }],
  [
    "iotlb_inv",
    IOTLB_INV,
    { G: [4, 2], DW: [6, 1], DR: [7, 1], DID: [16, 16], AM: [64, 6], IH: [70, 1], ADDR: [76, 52] },
  ],
  ["dev_tlb_inv", DEV_TLB_INV, { MIP: [16, 5], SID: [32, 16], S: [64, 1], ADDR: [76, 52] }],
  ["iec_inv", IEC_INV, { G: [4, 1], IM: [27, 5], IIDX: [32, 16] }],
  ["inv_wait", INV_WAIT, { IF: [4, 1], SW: [5, 1], FN: [6, 1], PD: [7, 1] }],
  ["p_iotlb_inv", P_IOTLB_INV, { G: [4, 2], DID: [16, 16], PASID: [32, 20], AM: [64, 6], IH: [70, 1], ADDR: [76, 52] }],
  ["pc_inv", PC_INV, { G: [4, 2], DID: [16, 16], PASID: [32, 20] }],
  ["p_dev_tlb_inv", P_DEV_TLB_INV, { MIP: [4, 5], SID: [16, 16], PASID: [32, 20], S: [75, 1], ADDR: [76, 52] }],
  ["page_grp_resp", PAGE_GRP_RESP, { PP: [4, 1], RID: [16, 16], PASID: [32, 20], PRGI: [67, 9] }],
  [
    "page_req",
    PAGE_REQ,
    {
      PP: [8, 1],
      RID: [16, 16],
      PASID: [32, 20],
      EXR: [52, 1],
      PMR: [53, 1],
      RDR: [64, 1],
      WRR: [65, 1],
      LPIG: [66, 1],
      PRGI: [67, 9],
      ADDR: [76, 52],
    },
  ],
];

/** Linux's DMAR_*_REG. */
const OFFSETS: Readonly<Record<string, number>> = {
  VER: 0x0,
  CAP: 0x8,
  ECAP: 0x10,
  GCMD: 0x18,
  GSTS: 0x1c,
  RTADDR: 0x20,
  CCMD: 0x28,
  FSTS: 0x34,
  FECTL: 0x38,
  FEDATA: 0x3c,
  FEADDR: 0x40,
  FEUADDR: 0x44,
  PMEN: 0x64,
  PLMBASE: 0x68,
  PLMLIMIT: 0x6c,
  PHMBASE: 0x70,
  PHMLIMIT: 0x78,
  IQH: 0x80,
  IQT: 0x88,
  IQA: 0x90,
  ICS: 0x9c,
  IECTL: 0xa0,
  IEDATA: 0xa4,
  IEADDR: 0xa8,
  IEUADDR: 0xac,
  IQERCD: 0xb0,
  IRTA: 0xb8,
  PQH: 0xc0,
  PQT: 0xc8,
  PQA: 0xd0,
  PRS: 0xdc,
  PECTL: 0xe0,
  PEDATA: 0xe4,
  PEADDR: 0xe8,
  PEUADDR: 0xec,
  MTRRCAP: 0x100,
  MTRRDEF: 0x108,
  PERFCAP: 0x300,
  ECMD: 0x400,
  ECEO: 0x408,
  ECRSP: 0x410,
  VCCAP: 0xe30,
  VCMD: 0xe00,
  VCRSP: 0xe10,
};

group("VT-d layouts against Linux's and QEMU's headers", () => {
  it.each(GOLDEN)("%s", (_, layout, golden) => {
    const ours = Object.fromEntries(Object.keys(golden).map((name) => [name, layout[name]]));
    const theirs = Object.fromEntries(
      Object.entries(golden).map(([name, [shift, width]]) => [name, ((shift + width - 1) * 65536) | shift]),
    );
    expect(ours).toEqual(theirs);
  });

  it("register offsets", () => {
    const ours = Object.fromEntries(Object.keys(OFFSETS).map((name) => [name, (REG as unknown as Layout)[name]]));
    expect(ours).toEqual(OFFSETS);
  });

  it("the descriptor type is bits 11:9 and 3:0", () => {
    expect(Object.values(DESCRIPTOR).filter((value) => typeof value === "number")).toEqual(
      expect.arrayContaining([(3 << 16) | 0, (11 << 16) | 9]),
    );
  });
});

group("capability registers of real machines", () => {
  const cap = (value: bigint, name: keyof typeof CAP) => Number(getField([value], CAP[name]));
  const ecap = (value: bigint, name: keyof typeof ECAP) => Number(getField([value], ECAP[name]));

  it("a Xeon, VER 6.0", () => {
    const c = 0x09ed008c40780466n;
    const e = 0x0003ee9e86f050dfn;
    expect(["ND", "MGAW", "SAGAW", "MAMV", "PI", "NFR", "CM"].map((name) => cap(c, name as keyof typeof CAP))).toEqual([
      6, 56, 0b00100, 45, 1, 0, 0,
    ]);
    const set = ["NEST", "SRS", "NWFS", "EAFS", "DIT", "PDS", "SMTS", "SSADS", "SSTS", "FSTS", "SMPWCS", "RPS"];
    for (const name of set) expect(ecap(e, name as keyof typeof ECAP), name).toBe(1);
    expect(ecap(e, "PSS")).toBe(19);
    expect(ecap(e, "PASID")).toBe(0);
  });

  it("a client machine, VER 7.0", () => {
    const c = 0xc9de008cee690462n;
    const e = 0x0012ca9a00f0ef5en;
    expect(cap(c, "FRO") * 16).toBe(0xee0);
    expect(ecap(e, "IRO") * 16).toBe(0xef0);
    expect([cap(c, "ESRTPS"), cap(c, "ESIRTPS"), cap(c, "MGAW") + 1, cap(c, "MAMV")]).toEqual([1, 1, 42, 30]);
    expect([
      ecap(e, "SMTS"),
      ecap(e, "SSTS"),
      ecap(e, "FSTS"),
      ecap(e, "RPS"),
      ecap(e, "ADMS"),
      ecap(e, "SMPWCS"),
    ]).toEqual([1, 1, 1, 1, 1, 0]);
  });

  it("QEMU's unit", () => {
    const c = 0x80d2008c222f0606n;
    expect([cap(c, "FRO") * 16, ecap(0x00f00f4an, "IRO") * 16]).toEqual([0x220, 0xf0]);
    expect([cap(c, "ESRTPS"), cap(c, "MAMV"), cap(c, "ZLR"), cap(c, "MGAW") + 1]).toEqual([1, 18, 0, 48]);
  });
});

interface CapturedEntries {
  source_ids: Record<
    string,
    { did: number; pdts: number; root: string; context_entry: string[]; pasid_entry: string[] }
  >;
  pasids: Record<string, { kind: string; levels: number; did: number; root: string; entry: string[] }>;
}

/** The capture names what its entries say, decoded by other means. */
group("entries that Linux wrote", () => {
  const path = new URL("../captures/A-vtd-sva.json", import.meta.url);
  const capture = JSON.parse(readFileSync(path, "utf8")) as CapturedEntries;
  const words = (entry: string[]) => entry.map(BigInt);

  it("scalable context entries", () => {
    for (const { pdts, context_entry } of Object.values(capture.source_ids)) {
      const entry = words(context_entry);
      expect(getField(entry, SCONTEXT.P)).toBe(1n);
      expect(getField(entry, SCONTEXT.PDTS)).toBe(BigInt(pdts));
      expect([SCONTEXT.DTE, SCONTEXT.PASIDE, SCONTEXT.PRE].map((field) => getField(entry, field))).toEqual([
        1n,
        1n,
        1n,
      ]);
    }
  });

  it("PASID table entries: type, levels, domain, root", () => {
    const types: Readonly<Record<string, bigint>> = { fs: 1n, ss: 2n, pt: 4n };
    const rows = Object.values(capture.pasids);
    expect(rows.length).toBeGreaterThan(5);
    for (const { kind, levels, did, root, entry } of rows) {
      const entryWords = words(entry);
      expect(getField(entryWords, PASID.PGTT)).toBe(types[kind]);
      expect(getField(entryWords, PASID.DID)).toBe(BigInt(did));
      const pointer = getInPlace(entryWords, kind === "fs" ? PASID.FSPTPTR : PASID.SSPTPTR);
      expect(pointer).toBe(BigInt(root));
      const above = kind === "fs" ? getField(entryWords, PASID.FSPM) + 4n : getField(entryWords, PASID.AW) + 2n;
      expect(above).toBe(BigInt(levels));
    }
  });
});
