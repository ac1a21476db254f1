/**
 * A device behind the unit: DMA in pieces of 4 KiB, address translation services, page requests, and
 * a log of what the unit sends it.
 */
import { PAGE_SHIFT } from "../../assembly/layout/vtd.ts";
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
import type { Fault, Outcome, Request } from "../iommu.ts";
import type { BlockedInterrupt, InterruptOutcome } from "./interrupts.ts";
import type { PageRequestOutcome } from "./page-requests.ts";
import { vtdAttributes } from "./walker.ts";

export interface DmaOptions {
  /** Absent: a request without PASID. */
  pasid?: number;
  /** Privileged-mode request; counts with a PASID only. */
  privileged?: boolean;
  /** AT = 10b: the address is what a translation completion gave. */
  translated?: boolean;
}

/** A DMA that went through, or how far it came. */
export type DmaRead = { ok: true; data: Uint8Array } | DmaFailure;
export type DmaWrite = { ok: true } | DmaFailure;
export interface DmaFailure {
  ok: false;
  /** Bytes moved before the piece that failed. */
  done: number;
  /** Why: a fault, a blocked interrupt, or a bus error behind the translation. */
  fault: Fault | BlockedInterrupt | "bus error";
}

/** What a device needs of the unit. */
export interface DevicePort {
  readonly bus: Bus;
  translate(request: Request): Outcome;
  /** Whether the last translation was for untranslated requests only. */
  untranslatedOnly(): boolean;
  interrupt(sid: number, address: bigint, data: number): InterruptOutcome;
  requestPage(request: PageRequest): PageRequestOutcome;
}

const PAGE = 1 << PAGE_SHIFT;
const DWORD_BYTES = 4;

export class VtdDevice extends EndpointLog {
  readonly #port: DevicePort;

  constructor(port: DevicePort, sid: number) {
    super(sid);
    this.#port = port;
  }

  /** Reads `bytes` at `address`, a request for each 4 KiB touched. */
  read(address: bigint, bytes: number, options: DmaOptions = {}): DmaRead {
    const data = new Uint8Array(checkInteger("bytes", bytes, 0, 2 ** 31));
    const failure = this.#forEachPage(address, bytes, options, "r", (output, from, count) => {
      const piece = this.#port.bus.readBytes(output, count);
      if (piece) data.set(piece, from);
      return piece !== undefined;
    });
    return failure ?? { ok: true, data };
  }

  /** Writes `data` at `address`, a request for each 4 KiB touched. A dword to FEEx_xxxxh is an interrupt. */
  write(address: bigint, data: Uint8Array, options: DmaOptions = {}): DmaWrite {
    const failure = this.#forEachPage(
      address,
      data.length,
      options,
      "w",
      (output, from, count) => this.#port.bus.writeBytes(output, data.subarray(from, from + count)),
      () => this.interrupt(address, new DataView(data.buffer, data.byteOffset).getUint32(0, true)),
    );
    return failure ?? { ok: true };
  }

  /** Sends an interrupt: a write of the dword `data` to an address in FEE0_0000h..FEEF_FFFFh. */
  interrupt(address: bigint, data: number): InterruptOutcome {
    return this.#port.interrupt(this.sid, address, data);
  }

  /** Asks for a translation (ATS, AT = 01b). */
  requestTranslation(address: bigint, options: TranslationOptions = {}): TranslationCompletion {
    const outcome = this.#port.translate(translationRequest(this.sid, address, options));
    const completion = completionOf(outcome, options);
    if (!outcome.ok) return completion;
    return {
      ...completion,
      // § 4.1.2: EXE is 0.
      execute: false,
      untranslatedOnly: this.#port.untranslatedOnly(),
      nonSnooped: vtdAttributes(outcome.attributes).snoop,
    };
  }

  /** Asks software to make a page present (PRI). */
  requestPage(request: Omit<PageRequest, "sid">): PageRequestOutcome {
    return this.#port.requestPage({ ...request, sid: this.sid });
  }

  #forEachPage(
    address: bigint,
    bytes: number,
    { pasid, privileged = false, translated = false }: DmaOptions,
    access: "r" | "w",
    move: (output: bigint, from: number, count: number) => boolean,
    interrupt?: () => InterruptOutcome,
  ): DmaFailure | undefined {
    checkBigInt("address", address, 0n, 0xffff_ffff_ffff_ffffn);
    // § 3.13: a request does not cross 4 KiB; the addresses wrap as a device's counter does.
    for (let done = 0, count = 0; done < bytes || (bytes === 0 && count === 0); done += count) {
      const at = BigInt.asUintN(64, address + BigInt(done));
      count = Math.min(bytes - done, PAGE - Number(at % BigInt(PAGE)));
      const dword = count === DWORD_BYTES && bytes === DWORD_BYTES && at % BigInt(DWORD_BYTES) === 0n;
      const type = translated ? "translated" : "untranslated";
      const request: Request = { sid: this.sid, address: at, access, type, privileged, dword, zeroLength: bytes === 0 };
      const outcome = this.#port.translate(pasid === undefined ? request : { ...request, pasid });
      if (!outcome.ok) return { ok: false, done, fault: outcome };
      if (outcome.answer === "interrupt") {
        const delivered = interrupt?.();
        return delivered?.ok === false ? { ok: false, done, fault: delivered } : undefined;
      }
      if (bytes === 0) return undefined;
      if (!move(outcome.address, done, count)) return { ok: false, done, fault: "bus error" };
    }
    return undefined;
  }
}
