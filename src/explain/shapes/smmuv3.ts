/** What the fields of SMMUv3's structures mean, in plain words (Arm IHI 0070, chapter 5; DDI 0487 D8.3). */
import { CD, L1CD, L1STD, PTE, PTE1, PTE2, STE } from "../../../assembly/layout/smmuv3.ts";
import { getField } from "../../structure.ts";
import { choice, type Entry, LEADS_ON, type Shape, yes } from "../shape.ts";

const GRANULES0 = choice("4 KiB granule", "64 KiB granule", "16 KiB granule");
const GRANULES1 = choice("reserved", "16 KiB granule", "4 KiB granule", "64 KiB granule");
const SIZES = choice("32 bits", "36 bits", "40 bits", "42 bits", "44 bits", "48 bits", "52 bits");
const SHARE = choice("non-shareable", "reserved", "outer shareable", "inner shareable");
const CACHE = choice("non-cacheable", "write-back, allocate", "write-through", "write-back");

const L1STD_SHAPE: Shape = {
  title: "Level 1 stream table descriptor",
  purpose: "finds the table of stream table entries for a range of StreamIDs",
  layout: L1STD,
  addresses: ["L2Ptr"],
  always: ["Span"],
  meanings: {
    Span: (value) => (value === 0n ? "no level 2 table" : `2^${value - 1n} entries in the level 2 table`),
    L2Ptr: "the level 2 stream table",
  },
};

const STE_SHAPE: Shape = {
  title: "Stream table entry (STE)",
  purpose: "says how one device (stream) is translated",
  layout: STE,
  addresses: ["S1ContextPtr", "S2TTB", "VMSPtr", "S_S2TTB"],
  always: ["V", "Config"],
  meanings: {
    V: yes("valid", "not valid"),
    Config: choice(
      "abort: the device gets an error, silently",
      "abort",
      "abort",
      "abort",
      "bypass",
      "stage 1 translates",
      "stage 2 translates",
      "stage 1, then stage 2",
    ),
    S1Fmt: choice("linear table of CDs", "2-level, leaves of 4 KiB (64 CDs)", "2-level, leaves of 64 KiB (1024 CDs)"),
    S1ContextPtr: "the context descriptors, one a substream (PASID)",
    S1CDMax: (value) => `2^${value} substreams`,
    S1DSS: choice(
      "without substream: terminated",
      "without substream: bypass stage 1",
      "without substream: CD 0 is used",
    ),
    S1CIR: CACHE,
    S1COR: CACHE,
    S1CSH: SHARE,
    MEV: "similar events may be merged",
    S1STALLD: "faults may not stall",
    EATS: choice("ATS not allowed", "ATS allowed", "ATS allowed, split stage"),
    STRW: choice("NS-EL1 world", "reserved", "EL2 world"),
    SHCFG: choice("non-shareable", "incoming shareability", "outer shareable", "inner shareable"),
    PRIVCFG: choice("incoming privilege", "incoming privilege", "unprivileged", "privileged"),
    INSTCFG: choice("incoming instruction/data", "incoming instruction/data", "data", "instruction"),
    S2VMID: "tag of the virtual machine in caches",
    S2T0SZ: (value) => `input of 64 - ${value} = ${64n - value} bits`,
    S2SL0: "start level",
    S2IR0: CACHE,
    S2OR0: CACHE,
    S2SH0: SHARE,
    S2TG: GRANULES0,
    S2PS: SIZES,
    S2AA64: yes("AArch64 tables", "AArch32 tables"),
    S2AFFD: "accesses to pages with AF = 0 do not fault",
    S2PTW: "stage 1 tables may not lie in device memory",
    S2R: "faults are recorded",
    S2S: "faults stall",
    S2TTB: "the stage 2 table",
  },
};

const L1CD_SHAPE: Shape = {
  title: "Level 1 context descriptor",
  purpose: "finds the leaf table of context descriptors for a range of substreams",
  layout: L1CD,
  addresses: ["L2Ptr"],
  always: ["V"],
  meanings: { V: yes("valid", "not valid: no substream of this range exists"), L2Ptr: "leaf table of CDs" },
};

const CD_SHAPE: Shape = {
  title: "Context descriptor (CD)",
  purpose: "one address space: its page tables, their format, its ASID",
  layout: CD,
  addresses: ["TTB0", "TTB1"],
  always: ["V", "T0SZ", "TG0"],
  meanings: {
    T0SZ: (value) => `TTB0 takes addresses of 64 - ${value} = ${64n - value} bits`,
    TG0: GRANULES0,
    IR0: CACHE,
    OR0: CACHE,
    SH0: SHARE,
    EPD0: "TTB0 is not walked: its addresses fault",
    ENDI: "tables are big-endian",
    T1SZ: (value) => `TTB1 takes addresses of 64 - ${value} = ${64n - value} bits`,
    TG1: GRANULES1,
    IR1: CACHE,
    OR1: CACHE,
    SH1: SHARE,
    EPD1: "TTB1 is not walked: its addresses fault",
    V: yes("valid", "not valid"),
    IPS: (value) => `output of ${typeof SIZES === "function" ? SIZES(value) : ""}`,
    AFFD: "accesses to pages with AF = 0 do not fault",
    WXN: "writable pages are not executable",
    UWXN: "user-writable pages are not privileged-executable",
    TBI0: "top byte of TTB0 addresses is ignored",
    TBI1: "top byte of TTB1 addresses is ignored",
    PAN: "privileged accesses to user pages fault",
    AA64: yes("AArch64 tables", "AArch32 tables"),
    HD: "hardware marks pages dirty (if IDR0.HTTU can)",
    HA: "hardware sets AF (if IDR0.HTTU can)",
    S: "faults stall",
    R: "faults are recorded",
    A: "faults abort the access",
    ASET: yes("ASID not shared with CPUs", "ASID shared with CPUs"),
    ASID: "tag of this address space in caches",
    TTB0: "page table for the lower addresses",
    TTB1: "page table for the upper addresses",
    MAIR0: "memory attributes 0 to 3",
    MAIR1: "memory attributes 4 to 7",
  },
};

const PTE_MEANINGS = {
  VALID: yes("valid", "not valid"),
  TYPE: yes("table or page", "block"),
  SH: SHARE,
  AF: yes("accessed", "not accessed yet"),
  DBM: "writable, dirty is tracked",
  Contiguous: "one of a run that maps alike",
};

/** Stages 1 and 2 share a layout and add their own: later members win. */
const STAGE1_PTE = { ...PTE, ...PTE1 };
const STAGE2_PTE = { ...PTE, ...PTE2 };
const HIERARCHY = ["PXNTable", "UXNTable", "APTable0", "APTable1", "NSTable"];
const LEAF_ONLY = ["SH", "AF", "nT", "DBM", "Contiguous", "AttrIndx", "NS", "AP1", "AP2", "nG", "PXN", "UXN"];
/** Bits that only some granules or levels give a meaning. */
const ODD = ["ADDRESS_51_48", "XN1"];

function descriptorShape({ stage, level, words }: Entry): Shape {
  const table = level < 3 && getField(words, PTE.TYPE) === 1n;
  // Bit 16 is nT in blocks only, below it belongs to the address.
  const odd = level === 3 ? [...ODD, "nT"] : ODD;
  const common = {
    title: `${table ? "Table" : level === 3 ? "Page" : "Block"} descriptor, stage ${stage}, level ${level}`,
    purpose: table ? LEADS_ON : "maps memory",
    addresses: ["ADDRESS"],
    always: ["VALID", "TYPE"],
  };
  const address = { ADDRESS: table ? "the next table" : "where the memory lies" };
  if (stage === 2) {
    return {
      ...common,
      layout: STAGE2_PTE,
      unused: table ? [...ODD, "SH", "AF", "nT", "DBM", "Contiguous", "MemAttr", "S2AP0", "S2AP1", "XN"] : odd,
      meanings: {
        ...PTE_MEANINGS,
        ...address,
        MemAttr: "memory type",
        S2AP0: yes("readable", "not readable"),
        S2AP1: yes("writable", "not writable"),
        XN: choice("executable", "user-executable", "not executable", "kernel-executable"),
      },
    };
  }
  return {
    ...common,
    layout: STAGE1_PTE,
    always: table ? common.always : [...common.always, "AF", "AP1", "AP2"],
    unused: [...odd, ...(table ? LEAF_ONLY : HIERARCHY)],
    meanings: {
      ...PTE_MEANINGS,
      ...address,
      AttrIndx: "memory attribute, index into MAIR",
      AP1: yes("user may access", "privileged only"),
      AP2: yes("read only", "read and write"),
      nG: yes("of this ASID only", "global"),
      PXN: "not executable, privileged",
      UXN: "not executable, user",
    },
  };
}

/** How to tell a step of an SMMUv3 walk. */
export function smmuShape(step: Entry): Shape | undefined {
  switch (step.structure) {
    case "L1STD":
      return L1STD_SHAPE;
    case "STE":
      return STE_SHAPE;
    case "L1CD":
      return L1CD_SHAPE;
    case "CD":
      return CD_SHAPE;
    default:
      return descriptorShape(step);
  }
}
