/**
 * A device behind the SMMU: DMA in pieces of 4 KiB, address translation service, page requests, and a
 * log of what the SMMU sends it.
 */
import type { Bus } from "../bus.ts";
import { checkBigInt, checkInteger } from "../check.ts";
import {
  completionOf,
  EndpointLog,
  type PageRequest,
  type TranslationCompletion,
  type TranslationOptions,
  translationRequest,
} from "../endpoint.ts";
import type { Request } from "../iommu.ts";
import type { PageRequestOutcome } from "./pri.ts";
import type { SmmuFault, SmmuOutcome } from "./unit.ts";

export interface DmaOptions {
  /** SubstreamID; absent: none. */
  pasid?: number;
  privileged?: boolean;
  /** An instruction fetch; reads only. */
  execute?: boolean;
  /** The address is what a translation completion gave. */
  translated?: boolean;
  /** Told how a transfer that stalled went in the end. */
  onDone?(result: DmaRead | DmaWrite): void;
}

/** A DMA that went through, or how far it came. */
export type DmaRead = { ok: true; data: Uint8Array; ignored: boolean } | DmaFailure;
/** `ignored`: some of it was terminated as RAZ/WI, which the device cannot tell from success. */
export type DmaWrite = { ok: true; ignored: boolean } | DmaFailure;
export interface DmaFailure {
  ok: false;
  /** Bytes moved before the piece that failed, or stalls. */
  done: number;
  /** Why: a fault (with `answer` "stall" it is not over), or a bus error behind the translation. */
  fault: SmmuFault | "bus error";
}

/** What a device needs of the unit. */
export interface DevicePort {
  readonly bus: Bus;
  translate(request: Request): SmmuOutcome;
  /** Calls back when a stalled transaction has come to its end. */
  whenResumed(transaction: number, resumed: (outcome: SmmuOutcome) => void): void;
  requestPage(request: PageRequest): PageRequestOutcome;
}

/** A transfer under way. */
interface Transfer {
  readonly address: bigint;
  readonly data: Uint8Array;
  readonly access: "r" | "w" | "x";
  readonly options: DmaOptions;
  done: number;
  ignored: boolean;
}

const PAGE = 4096;
const MAX_ADDRESS = 0xffff_ffff_ffff_ffffn;

export class SmmuDevice extends EndpointLog {
  readonly #port: DevicePort;

  constructor(port: DevicePort, sid: number) {
    super(sid);
    this.#port = port;
  }

  /** Reads `bytes` at `address`, a request for each 4 KiB touched. */
  read(address: bigint, bytes: number, options: DmaOptions = {}): DmaRead {
    const data = new Uint8Array(checkInteger("bytes", bytes, 0, 2 ** 31));
    return this.#start(address, data, options.execute ? "x" : "r", options) as DmaRead;
  }

  /** Writes `data` at `address`, a request for each 4 KiB touched. */
  write(address: bigint, data: Uint8Array, options: DmaOptions = {}): DmaWrite {
    return this.#start(address, data, "w", options);
  }

  /** Asks for a translation (ATS). */
  requestTranslation(address: bigint, options: TranslationOptions = {}): TranslationCompletion {
    return completionOf(this.#port.translate(translationRequest(this.sid, address, options)), options);
  }

  /** Asks software to make a page present (PRI). */
  requestPage(request: Omit<PageRequest, "sid">): PageRequestOutcome {
    return this.#port.requestPage({ ...request, sid: this.sid });
  }

  #start(address: bigint, data: Uint8Array, access: "r" | "w" | "x", options: DmaOptions): DmaRead | DmaWrite {
    checkBigInt("address", address, 0n, MAX_ADDRESS);
    return this.#advance({ address, data, access, options, done: 0, ignored: false });
  }

  /** Moves page by page until the end, a fault or a stall. */
  #advance(transfer: Transfer, first?: SmmuOutcome): DmaRead | DmaWrite {
    const { data, access } = transfer;
    for (let resumed = first; transfer.done < data.length; resumed = undefined) {
      const outcome = resumed ?? this.#port.translate(this.#requestFor(transfer));
      const failed = outcome.ok ? this.#move(transfer, outcome.address) : this.#end(transfer, outcome);
      if (failed) return { ok: false, done: transfer.done, fault: failed };
    }
    const { ignored } = transfer;
    return access === "w" ? { ok: true, ignored } : { ok: true, data, ignored };
  }

  #requestFor({ address, done, access, options }: Transfer): Request {
    const { pasid, privileged = false, translated = false } = options;
    const request: Request = {
      sid: this.sid,
      // The address wraps as a device's counter does.
      address: BigInt.asUintN(64, address + BigInt(done)),
      access,
      privileged,
      type: translated ? "translated" : "untranslated",
    };
    return pasid === undefined ? request : { ...request, pasid };
  }

  /** Bytes up to the end of the page, or of the transfer. */
  #pieceOf({ address, data, done }: Transfer): number {
    const offset = Number((address + BigInt(done)) % BigInt(PAGE));
    return Math.min(PAGE - offset, data.length - done);
  }

  #move(transfer: Transfer, output: bigint): "bus error" | undefined {
    const { data, done, access } = transfer;
    const count = this.#pieceOf(transfer);
    if (access === "w") {
      if (!this.#port.bus.writeBytes(output, data.subarray(done, done + count))) return "bus error";
    } else {
      const piece = this.#port.bus.readBytes(output, count);
      if (!piece) return "bus error";
      data.set(piece, done);
    }
    transfer.done += count;
    return undefined;
  }

  /** A piece that was not translated: skipped if the SMMU says so, waited for if it stalls. */
  #end(transfer: Transfer, fault: SmmuFault): SmmuFault | undefined {
    if (fault.answer === "raz-wi") {
      transfer.done += this.#pieceOf(transfer);
      transfer.ignored = true;
      return undefined;
    }
    if (fault.transaction !== undefined) {
      this.#port.whenResumed(fault.transaction, (outcome) => {
        const result = this.#advance(transfer, outcome);
        const isOver = result.ok || result.fault === "bus error" || result.fault.transaction === undefined;
        if (isOver) transfer.options.onDone?.(result);
      });
    }
    return fault;
  }
}
