/**
 * The virtual command interface: a guest gets its PASIDs from the host through registers.
 * Intel D51397, ECAP.VCS = 1. Only emulated units have it.
 *
 * The registers are a fragment that the VT-d unit mounts in its file, and that a VMM without one can
 * mount alone. What stands behind them is the host's: see `GuestPasids`.
 */
import { REG, VCMD_COMMAND } from "../../assembly/layout/vtd-registers.ts";
import { checkOneOf } from "../check.ts";
import type { Register, RegisterFile, RegisterFragment, RegisterWrite, ResetKind } from "../registers.ts";
import type { Json } from "../snapshot.ts";
import { getBits, maskOf, putBits } from "../structure.ts";
import { VCMD_ERAS, VCMD_LAYOUTS, type VcmdEra, type VcmdLayout } from "./vcmd-layout.ts";

/** Where the guest's PASIDs come from. */
export interface HostPasids {
  /** One more PASID for the guest; undefined when none is left. */
  alloc(): number | undefined;
  /** Takes one back; false when the guest does not hold it. */
  free(pasid: number): boolean;
  /** What the guest holds, ascending. */
  list(): number[];
  /** Gives the guest this very PASID (for restoring); false when it cannot be had. */
  claim(pasid: number): boolean;
}

export interface VcmdOptions {
  host: HostPasids;
  /** Layout and codes of "C" (revision 3.3) unless told. */
  era?: VcmdEra;
  /**
   * Decides when a command completes: synchronously unless told, so that the guest never sees IP = 1.
   * A call after a reset, or a second call, does nothing.
   */
  schedule?: (complete: () => void) => void;
}

export class Vcmd implements RegisterFragment {
  readonly registers: readonly Register[];
  readonly #host: HostPasids;
  readonly #layout: VcmdLayout;
  readonly #schedule: (complete: () => void) => void;
  #file: RegisterFile | undefined;
  /** Counts commands and resets: a completion of an earlier one is void. */
  #turn = 0;

  constructor(options: VcmdOptions) {
    const era = checkOneOf("era", options.era ?? "C", VCMD_ERAS);
    this.#host = options.host;
    this.#layout = VCMD_LAYOUTS[era];
    this.#schedule = options.schedule ?? ((complete) => complete());
    this.registers = rowsOf(
      this.#layout,
      (write) => this.#submit(write),
      () => this.#busy,
    );
  }

  mount(file: RegisterFile): void {
    this.#file = file;
  }

  /** § The guest's allocations belong to its reset domain: they go, and so does a command under way. */
  reset(_kind: ResetKind): void {
    this.#turn++;
    for (const pasid of this.#host.list()) this.#host.free(pasid);
  }

  snapshot(): Json {
    return { pasids: this.#host.list() };
  }

  restore(state: Json): void {
    const wanted = pasidsOf(state);
    const held = new Set(this.#host.list());
    const claimed: number[] = [];
    for (const pasid of wanted.filter((pasid) => !held.has(pasid))) {
      if (!this.#host.claim(pasid)) {
        for (const undone of claimed) this.#host.free(undone);
        throw new RangeError(`snapshot: the host cannot give PASID ${pasid}`);
      }
      claimed.push(pasid);
    }
    for (const pasid of held) if (!wanted.includes(pasid)) this.#host.free(pasid);
    this.#turn++;
    if (this.#busy) this.#begin();
  }

  get #registers(): RegisterFile {
    if (!this.#file) throw new TypeError("the virtual command registers are not mounted in a file");
    return this.#file;
  }

  get #busy(): boolean {
    return this.#registers.has("VCRSP", this.#layout.inProgress);
  }

  /** § The access that covers the command submits; while a command is under way, it is dropped. */
  #submit({ mask }: RegisterWrite): void {
    if ((mask & maskOf(this.#layout.command)) === 0n || this.#busy) return;
    // § Submitting clears the last response whole.
    this.#registers.set("VCRSP", putBits(0n, this.#layout.inProgress, 1));
    this.#begin();
  }

  #begin(): void {
    const turn = ++this.#turn;
    this.#schedule(() => {
      if (turn !== this.#turn) return;
      this.#turn++;
      // § Status, result and the end of "in progress" appear together.
      this.#registers.set("VCRSP", this.#execute(this.#registers.get("VCMD")));
    });
  }

  #execute(command: bigint): bigint {
    const { undefinedCommand, noPasid } = this.#layout;
    switch (Number(getBits(command, this.#layout.command))) {
      case VCMD_COMMAND.ALLOCATE_PASID: {
        const pasid = this.#host.alloc();
        return pasid === undefined ? this.#status(noPasid) : putBits(0n, this.#layout.allocatedPasid, pasid);
      }
      case VCMD_COMMAND.FREE_PASID:
        return this.#host.free(Number(getBits(command, this.#layout.freePasid))) ? 0n : this.#status(noPasid);
      case VCMD_COMMAND.NULL:
        // § The null command came with revision 3.3.
        return "NS" in this.#layout.VCCAP ? 0n : this.#status(undefinedCommand);
      default:
        return this.#status(undefinedCommand);
    }
  }

  #status(code: number): bigint {
    return putBits(0n, this.#layout.status, code);
  }
}

function rowsOf(layout: VcmdLayout, effect: (write: RegisterWrite) => void, busy: () => boolean): Register[] {
  const { registers } = layout;
  const writable = "OPERAND" in layout.VCMD ? (layout.VCMD.OPERAND as number) : layout.freePasid;
  const capabilities = layout.capabilities.reduce((bits, field) => bits | maskOf(field), 0n);
  const all = BigInt.asUintN(64, -1n);
  const locked = (): bigint => (busy() ? all : 0n);
  const rows: Register[] = [
    {
      name: "VCMD",
      offset: registers.VCMD,
      bits: 64,
      title: "virtual command",
      layout: layout.VCMD,
      rw: maskOf(layout.command) | maskOf(writable),
      locked,
      effect,
    },
    { name: "VCRSP", offset: registers.VCRSP, bits: 64, title: "virtual command response", layout: layout.VCRSP },
    {
      name: "VCCAP",
      offset: registers.VCCAP,
      bits: 64,
      title: "virtual command capability",
      layout: layout.VCCAP,
      reset: capabilities,
    },
  ];
  if (registers.VCMD !== REG.VCMD) return rows;
  return [...rows, { name: "VCMD_EO", offset: REG.VCMD_EO, bits: 64, title: "operand B", rw: all, locked }];
}

function pasidsOf(state: Json): number[] {
  const pasids = typeof state === "object" && state !== null && "pasids" in state ? state.pasids : undefined;
  if (!Array.isArray(pasids) || !pasids.every((pasid) => typeof pasid === "number")) {
    throw new RangeError("snapshot: no list of PASIDs for the virtual command interface");
  }
  return pasids as number[];
}
