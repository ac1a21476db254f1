/** A small guest with one VT-d walker: tables by name, entries by address, capabilities by name. */

import { CAP, ECAP } from "../../assembly/layout/vtd-capabilities.ts";
import {
  GuestMemory,
  type HostBacking,
  PageAllocator,
  type Request,
  type VtdPageTable,
  type VtdState,
  VtdTables,
  VtdWalker,
} from "../../src/index.ts";
import { build } from "../../src/structure.ts";

export const SID = 0x0210;
export const HAW = 46;
const MIB = 1n << 20n;

/** Everything that a walk can depend on. */
export const WIDE_CAP: bigint = build(CAP, 1, {
  ND: 6,
  SAGAW: 0b01110,
  MGAW: 56,
  ZLR: 1,
  SSLPS: 3,
  FS1GP: 1,
  FS5LP: 1,
})[0] as bigint;
export const WIDE_ECAP: bigint = build(ECAP, 1, {
  QI: 1,
  DT: 1,
  PT: 1,
  SC: 1,
  MTS: 1,
  NEST: 1,
  PRS: 1,
  SRS: 1,
  NWFS: 1,
  EAFS: 1,
  PSS: 19,
  PASID: 1,
  SMTS: 1,
  SSADS: 1,
  SSTS: 1,
  FSTS: 1,
  SMPWCS: 1,
  RPS: 1,
  ADMS: 1,
  RPRIVS: 1,
  HPTS: 1,
  PTRS: 1,
  SSIRWS: 1,
  HPT1GPS: 1,
})[0] as bigint;

export interface GuestOptions {
  mode?: "legacy" | "scalable";
  /** Bits cleared in the wide capabilities. */
  without?: { cap?: bigint; ecap?: bigint };
  /** Bits set on top of them. */
  with?: { cap?: bigint };
  state?: Partial<VtdState>;
  /** RAM in place of linear memory. */
  host?: HostBacking;
  /** Bytes for units and caches. */
  workspace?: number;
}

export class VtdGuest {
  readonly memory: GuestMemory;
  readonly pages: PageAllocator;
  readonly tables: VtdTables;
  readonly walker: VtdWalker;
  state: VtdState;

  constructor({ mode = "scalable", without = {}, with: more = {}, state = {}, host, workspace }: GuestOptions = {}) {
    const ram = { base: 0n, size: MIB };
    this.memory = new GuestMemory({ ram: [host ? { ...ram, host } : ram], workspace: workspace ?? 1 << 18 });
    this.pages = new PageAllocator(this.memory, 0x4_0000n, MIB - 0x4_0000n);
    this.tables = new VtdTables(this.memory, this.pages, mode);
    this.state = {
      cap: (WIDE_CAP & ~(without.cap ?? 0n)) | (more.cap ?? 0n),
      ecap: WIDE_ECAP & ~(without.ecap ?? 0n),
      haw: HAW,
      rtaddr: this.tables.rtaddr,
      ...state,
    };
    this.walker = new VtdWalker(this.memory, this.state);
  }

  configure(state: Partial<VtdState>): void {
    this.state = { ...this.state, ...state };
    this.walker.configure(this.state);
  }

  walk(request: Partial<Request>): ReturnType<VtdWalker["translate"]> {
    return this.walker.translate({ sid: SID, address: 0x1000n, ...request });
  }

  /** Replaces bits of the word at `address`. */
  change(address: bigint, clear: bigint, set = 0n): void {
    this.memory.write64(address, (this.memory.read64(address) & ~clear) | set);
  }
}

export const DATA = 0x2_0000n;
export const FIRST = 1;
export const SECOND = 2;
export const NESTED = 3;
export const PASS = 4;

/** Scalable mode with one PASID of each type, each mapping 0x1000 to DATA; FIRST is also RID_PASID 9's. */
export interface ScalableGuest {
  guest: VtdGuest;
  context: bigint;
  /** Leaf entries for 0x1000, tables, and PASID entries, by PASID. */
  leaf: Record<number, bigint>;
  entry: Record<number, bigint>;
  first: VtdPageTable;
  second: VtdPageTable;
  /** First stage of NESTED, in guest addresses that the second stage maps elsewhere. */
  inner: VtdPageTable;
  outer: VtdPageTable;
}

export const RID_PASID = 9;
/** What the outer stage adds to guest addresses: nothing in guest space lies where it says. */
export const OFFSET = 0x40_0000n;

export function scalableGuest(options: GuestOptions = {}, extra: Record<string, number> = {}): ScalableGuest {
  const guest = new VtdGuest(options);
  const { tables } = guest;
  const context = tables.setScalableContext(SID, { DTE: 1, PASIDE: 1, PRE: 1, RID_PASID, ...extra });
  const first = tables.firstStage(4);
  const second = tables.secondStage(2);
  const outer = tables.secondStage(2);
  // The guest sees its tables at OFFSET above where they are.
  const inner = tables.firstStage(4);
  const leaf = {
    [FIRST]: first.map(0x1000n, DATA),
    [SECOND]: second.map(0x1000n, DATA),
    [NESTED]: inner.map(0x1000n, DATA),
  };
  moveBehind(guest, inner, outer);
  outer.map(DATA, DATA + 0x1_0000n);
  const common = { DID: 5, PWSNP: 1 };
  const entry = {
    [FIRST]: tables.setPasid(SID, FIRST, { ...common, PGTT: 1 }, { first }),
    [SECOND]: tables.setPasid(SID, SECOND, { ...common, PGTT: 2 }, { second }),
    [NESTED]: tables.setPasid(SID, NESTED, { ...common, PGTT: 3 }, { first: inner, second: outer }),
    [PASS]: tables.setPasid(SID, PASS, { ...common, PGTT: 4 }),
    [RID_PASID]: tables.setPasid(SID, RID_PASID, { ...common, PGTT: 1 }, { first }),
  };
  guest.change((entry[NESTED] as bigint) + 16n, 0n, OFFSET);
  return { guest, context, leaf, entry, first, second, inner, outer };
}

/** Turns a first stage built in place into one the guest sees OFFSET higher, and maps it in `outer`. */
function moveBehind(guest: VtdGuest, inner: VtdPageTable, outer: VtdPageTable): void {
  const links = [4, 3, 2].map((level) => inner.entry(0x1000n, level) as bigint);
  const tables = links.map((at) => guest.memory.read64(at) & 0xf_ffff_ffff_f000n);
  for (const table of [inner.root, ...tables]) outer.map(table + OFFSET, table);
  links.forEach((at, i) => {
    guest.change(at, 0xf_ffff_ffff_f000n, (tables[i] as bigint) + OFFSET);
  });
}
