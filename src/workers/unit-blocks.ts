/** The unit blocks of one walker in linear memory: its own, and those of its workers, kept alike. */
import { NO_POINTER, UNIT } from "../../assembly/layout/core.ts";
import { checkInteger } from "../check.ts";
import type { GuestMemory } from "../memory.ts";
import { type Gate, LINE_BYTES } from "./gate.ts";
import type { ShareOptions, WalkerHandle } from "./handle.ts";

const MAX_WORKERS = 1024;
const WORKSPACE = 2 ** 18;

export class UnitBlocks {
  readonly #memory: GuestMemory;
  readonly #own: number;
  readonly #bytes: number;
  /** Unit blocks of workers, by their index. */
  readonly #workers = new Map<number, number>();

  /** @param own the walker's own unit block of `bytes` bytes */
  constructor(memory: GuestMemory, own: number, bytes: number) {
    this.#memory = memory;
    this.#own = own;
    this.#bytes = bytes;
  }

  /** Does to every unit block what changes what a walk finds, while no worker is within one. */
  change(apply: (unit: number) => void): void {
    if (this.#workers.size === 0) {
      apply(this.#own);
      return;
    }
    this.#memory.exclusively(() => {
      apply(this.#own);
      for (const unit of this.#workers.values()) apply(unit);
    });
  }

  /**
   * Blocks for `count` more workers, configured as the walker itself is.
   * @param openCaches gives a block caches, where the walker has some
   * @throws RangeError when the memory is not shared, lies outside in part, or has no room left
   */
  share(
    vendor: WalkerHandle["vendor"],
    count: number,
    openCaches: ((unit: number) => void) | undefined,
    { workspace = WORKSPACE }: ShareOptions = {},
  ): WalkerHandle[] {
    checkInteger("count", count, 1, MAX_WORKERS);
    checkInteger("workspace", workspace, 4096, 2 ** 31);
    const gate = this.#memory.shareable();
    const handles: WalkerHandle[] = [];
    try {
      while (handles.length < count) handles.push(this.#add(gate, vendor, openCaches, workspace));
    } catch (error) {
      for (const { index } of handles) this.detach(index);
      throw error;
    }
    return handles;
  }

  /** @throws RangeError when no worker of this walker has this index */
  detach(index: number): void {
    if (!this.#workers.delete(index)) throw new RangeError(`index: ${index} is no worker of this walker`);
    this.#memory.gate?.remove(index);
  }

  #add(
    gate: Gate,
    vendor: WalkerHandle["vendor"],
    openCaches: ((unit: number) => void) | undefined,
    workspace: number,
  ): WalkerHandle {
    const { core } = this.#memory;
    const unit = core.allocate(this.#bytes);
    core.u8.copyWithin(unit, this.#own, this.#own + this.#bytes);
    core.view.setUint32(unit + UNIT.TRACE, NO_POINTER, true);
    openCaches?.(unit);
    const line = core.allocate(LINE_BYTES);
    const memory = this.#memory.slice(workspace);
    const index = gate.add(line);
    this.#workers.set(index, unit);
    return { vendor, index, memory, gate: gate.ptr, line, unit, cached: openCaches !== undefined };
  }
}
