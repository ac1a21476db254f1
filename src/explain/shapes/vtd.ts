/** What the fields of VT-d's structures mean, in plain words (VT-d rev 5.10, chapter 9). */
import {
  CONTEXT,
  FSPTE,
  HPTE,
  PASID,
  PASIDDIR,
  PDTS_BASE_BITS,
  PGTT,
  ROOT,
  SCONTEXT,
  SROOT,
  SSPTE,
} from "../../../assembly/layout/vtd.ts";
import { RTADDR } from "../../../assembly/layout/vtd-base.ts";
import { getField } from "../../structure.ts";
import { choice, type Entry, LEADS_ON, type Shape, yes } from "../shape.ts";

const PRESENT = yes("present", "not present");
const FPD = "faults below are not recorded";
const WIDTH = choice("reserved", "39 bits, 3 levels", "48 bits, 4 levels", "57 bits, 5 levels");
const DID = "domain id: tag of this domain in caches";

const RTADDR_SHAPE: Shape = {
  title: "Root table address register (RTADDR)",
  purpose: "where translation starts, and in which mode",
  register: true,
  layout: RTADDR,
  addresses: ["RTA"],
  always: ["TTM"],
  meanings: {
    TTM: choice("legacy mode", "scalable mode", "reserved", "abort-DMA mode"),
    RTA: "root table",
    SSIRWE: "second stage grants by its I/O bits",
  },
};

const ROOT_SHAPE: Shape = {
  title: "Root entry",
  purpose: "finds the context table of a PCI bus",
  layout: ROOT,
  addresses: ["CTP"],
  always: ["P"],
  meanings: { P: PRESENT, CTP: "context table of this bus" },
};

const SROOT_SHAPE: Shape = {
  title: "Root entry, scalable mode",
  purpose: "finds the context tables of a PCI bus, one for each half of its devices",
  layout: SROOT,
  addresses: ["LCTP", "UCTP"],
  always: ["LP", "UP"],
  meanings: {
    LP: yes("lower half (devices 00 to 0f) present", "lower half (devices 00 to 0f) not present"),
    LCTP: "context table of the lower half",
    UP: yes("upper half (devices 10 to 1f) present", "upper half (devices 10 to 1f) not present"),
    UCTP: "context table of the upper half",
  },
};

const CONTEXT_SHAPE: Shape = {
  title: "Context entry",
  purpose: "says how one device is translated",
  layout: CONTEXT,
  addresses: ["SSPTPTR"],
  always: ["P", "TT"],
  unused: ["IGN"],
  meanings: {
    P: PRESENT,
    FPD,
    TT: choice("second stage, ATS blocked", "second stage, ATS allowed", "pass-through"),
    SSPTPTR: "second-stage page table",
    AW: WIDTH,
    DID,
  },
};

const SCONTEXT_SHAPE: Shape = {
  title: "Context entry, scalable mode",
  purpose: "finds a device's PASID directory, and what the device may do",
  layout: SCONTEXT,
  addresses: ["PASIDDIRPTR"],
  always: ["P", "PASIDE", "PDTS", "RID_PASID"],
  meanings: {
    P: PRESENT,
    FPD,
    DTE: "device may use ATS",
    PASIDE: yes("requests with PASID allowed", "requests with PASID refused"),
    PRE: "device may send page requests",
    HPTE: "translated requests pass the host permission table",
    EPTR: "translated requests may carry a PASID",
    PDTS: (value) => `PASIDs of ${value + BigInt(PDTS_BASE_BITS)} bits`,
    PASIDDIRPTR: "PASID directory",
    RID_PASID: "PASID for requests that carry none",
    RID_PRIV: "requests without PASID are privileged",
  },
};

const PASIDDIR_SHAPE: Shape = {
  title: "PASID directory entry",
  purpose: "finds the table of 64 PASID entries",
  layout: PASIDDIR,
  addresses: ["SMPTBLPTR"],
  always: ["P"],
  meanings: { P: PRESENT, FPD, SMPTBLPTR: "PASID table" },
};

const PASID_SHAPE: Shape = {
  title: "PASID table entry",
  purpose: "one address space: which page tables, how many levels, whose tag",
  layout: PASID,
  addresses: ["SSPTPTR", "FSPTPTR", "HPTPTR"],
  always: ["P", "PGTT"],
  unused: ["IGN"],
  meanings: {
    P: PRESENT,
    FPD,
    AW: WIDTH,
    PGTT: choice("reserved", "first stage", "second stage", "nested: first, then second stage", "pass-through"),
    SSADE: "hardware sets accessed and dirty bits of second stage",
    SSPTPTR: "second-stage page table",
    DID,
    PWSNP: "table reads snoop the CPU's caches",
    PGSNP: "accesses to the final page snoop",
    CD: "final page uncached",
    EMTE: "memory type of second-stage leaves counts",
    PAT: "eight memory types, chosen by first-stage leaves",
    SRE: "privileged requests allowed",
    FSPM: choice("4 levels, 48-bit addresses", "5 levels, 57-bit addresses"),
    WPE: "privileged writes obey R/W",
    EAFE: "hardware sets the extended accessed bit",
    FSPTPTR: "first-stage page table",
    HPTSZ: "size of the host permission table",
    HPTPTR: "host permission table",
    HPTDID: "domain id for host permissions",
  },
};

/** Linux fills AW in any case; without a second stage it means nothing. */
const FIRST_STAGE_PASID_SHAPE: Shape = {
  ...PASID_SHAPE,
  meanings: { ...PASID_SHAPE.meanings, AW: "counts for second stage only" },
};

function hasSecondStage({ words }: Entry): boolean {
  const type = Number(getField(words, PASID.PGTT));
  return type === PGTT.SECOND_STAGE || type === PGTT.NESTED;
}

const LARGE = ["ADDR_2M", "ADDR_1G"];
const LEVEL_SIZE = ["", "4 KiB", "2 MiB", "1 GiB", "512 GiB", "256 TiB"];

/** A leaf's address field is narrower the larger its page: which one counts, and which do not. */
function addressFields(level: number, leaf: boolean): { address: string; unused: string[] } {
  const address = leaf && level === 2 ? "ADDR_2M" : leaf && level === 3 ? "ADDR_1G" : "ADDR";
  return { address, unused: ["ADDR", ...LARGE].filter((name) => name !== address) };
}

function pagingTitle(stage: string, level: number, leaf: boolean): string {
  const kind = leaf ? `page of ${LEVEL_SIZE[level]}` : "table";
  return `${stage} paging entry, level ${level} (${kind})`;
}

function firstStageShape({ level, words }: Entry): Shape {
  const leaf = level === 1 || (level <= 3 && getField(words, FSPTE.PS) === 1n);
  const { address, unused } = addressFields(level, leaf);
  return {
    title: pagingTitle("First-stage", level, leaf),
    purpose: leaf ? "maps memory" : LEADS_ON,
    layout: FSPTE,
    addresses: [address],
    always: ["P", "RW", "US", ...(leaf ? ["A", "D"] : [])],
    unused: [...unused, level === 1 ? "PS" : "PAT", ...(leaf && level > 1 ? [] : ["PAT_LARGE"])],
    meanings: {
      P: PRESENT,
      RW: yes("writes allowed", "read only"),
      US: yes("user requests allowed", "privileged requests only"),
      PWT: "memory type, low bit",
      PCD: "memory type, middle bit",
      A: yes("accessed", "not accessed yet"),
      D: yes("dirty", "not written yet"),
      PS: yes("this is a page", "leads to a table"),
      PAT: "memory type, high bit",
      PAT_LARGE: "memory type, high bit",
      EA: "accessed by a device",
      [address]: leaf ? "where the memory lies" : "the next table",
    },
  };
}

function secondStageShape({ level, words }: Entry): Shape {
  const leaf = level === 1 || (level <= 3 && getField(words, SSPTE.PS) === 1n);
  const { address, unused } = addressFields(level, leaf);
  return {
    title: pagingTitle("Second-stage", level, leaf),
    purpose: leaf ? "maps memory" : LEADS_ON,
    layout: SSPTE,
    addresses: [address],
    always: ["R", "W"],
    unused: level === 1 ? [...unused, "PS"] : unused,
    meanings: {
      R: yes("reads allowed", "no reads"),
      W: yes("writes allowed", "no writes"),
      EMT: "memory type",
      IPAT: "memory type is final",
      PS: yes("this is a page", "leads to a table"),
      A: yes("accessed", "not accessed yet"),
      D: yes("dirty", "not written yet"),
      SNP: "accesses snoop",
      IR: "I/O reads allowed (with SSIRWE)",
      IW: "I/O writes allowed (with SSIRWE)",
      [address]: leaf ? "where the memory lies" : "the next table",
    },
  };
}

const HPTE_SHAPE: Shape = {
  title: "Host permission table entry",
  purpose: "says what translated requests may touch",
  layout: HPTE,
  addresses: ["ADDR"],
  always: ["AV"],
  meanings: { AV: yes("leads to a table", "permissions are here"), ADDR: "the next table" },
};

export const VTD_SHAPES: Readonly<Record<string, Shape>> = {
  "RTADDR register": RTADDR_SHAPE,
  "root entry": ROOT_SHAPE,
  "scalable root entry": SROOT_SHAPE,
  "context entry": CONTEXT_SHAPE,
  "scalable context entry": SCONTEXT_SHAPE,
  "PASID directory entry": PASIDDIR_SHAPE,
  "host permission entry": HPTE_SHAPE,
};

/** How to tell a step of a VT-d walk; undefined for what is no entry in memory. */
export function vtdShape(step: Entry): Shape | undefined {
  switch (step.structure) {
    case "first-stage entry":
      return firstStageShape(step);
    case "second-stage entry":
      return secondStageShape(step);
    case "PASID table entry":
      return hasSecondStage(step) ? PASID_SHAPE : FIRST_STAGE_PASID_SHAPE;
    default:
      return VTD_SHAPES[step.structure];
  }
}
