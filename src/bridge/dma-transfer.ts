/**
 * One transfer of the DMA engine: untranslated requests, or ATS with page requests.
 *
 * PCI Express 6.0 chapter 10. With ATS each 4 KiB page is looked up in the device's TLB, else its
 * translation is asked for; a page that the completion does not give is asked for by a page request, and
 * after the response the translation is asked for again.
 */
import { DMA_RESULT } from "../../assembly/layout/dma-engine.ts";
import type { PageGroupResponse, TranslationCompletion } from "../endpoint.ts";
import type { DeviceTlb } from "./device-tlb.ts";
import type { DmaOptions, DmaResult, Requester } from "./unit.ts";

export interface TransferOptions {
  address: bigint;
  /** The part of the buffer that is filled or sent. */
  data: Uint8Array;
  write: boolean;
  pasid: number | undefined;
  privileged: boolean;
  ats: boolean;
  pri: boolean;
  /** Only asks for the translation. */
  translateOnly: boolean;
}

export interface TransferEnd {
  result: DMA_RESULT;
  moved: number;
  code: number;
}

/** What a transfer needs of its engine. */
export interface TransferPort {
  readonly requester: Requester;
  readonly tlb: DeviceTlb;
  /** Sends a page request; `respond` or `dropped` follows, maybe at once. */
  requestPage(address: bigint): void;
  translated(completion: TranslationCompletion): void;
  done(end: TransferEnd): void;
}

const PAGE = 4096;
/** Translations asked for after a response said success: software that never maps must not keep the engine. */
const MAX_TRIES = 8;
const RESPONSE_SUCCESS = 0;
const U64 = 64;

export class Transfer {
  readonly #options: TransferOptions;
  readonly #port: TransferPort;
  #moved = 0;
  #tries = 0;
  #isOver = false;
  /** Whether a page request is under way. */
  #isWaiting = false;

  constructor(options: TransferOptions, port: TransferPort) {
    this.#options = options;
    this.#port = port;
  }

  start(): void {
    this.#advance();
  }

  /** The engine was reset: whatever still comes is nobody's. */
  abandon(): void {
    this.#isOver = true;
  }

  /** The answer to the page request under way. */
  respond({ code }: PageGroupResponse): void {
    if (!this.#isWaiting || this.#isOver) return;
    this.#isWaiting = false;
    if (code === RESPONSE_SUCCESS && this.#tries < MAX_TRIES) this.#advance();
    else this.#end(DMA_RESULT.PAGE_REQUEST_FAILED);
  }

  #requestOptions(): DmaOptions {
    const { pasid, privileged } = this.#options;
    return pasid === undefined ? {} : { pasid, privileged };
  }

  /** Does the next page, which does the one after it. */
  #advance(): void {
    const { address, data, ats, translateOnly } = this.#options;
    const at = BigInt.asUintN(U64, address + BigInt(this.#moved));
    if (!translateOnly && this.#moved === data.length) this.#end(DMA_RESULT.OK);
    else if (ats) this.#useTranslation(at);
    else this.#move(at, at, this.#requestOptions());
  }

  /** Goes on if there is a translation of `at` now. */
  #useTranslation(at: bigint): void {
    const completion = this.#translate(at);
    if (!completion) return;
    if (this.#options.translateOnly) this.#end(DMA_RESULT.OK);
    else if (completion.untranslatedOnly) this.#move(at, at, this.#requestOptions());
    else this.#move(at, outputOf(completion, at), { translated: true });
  }

  /** A completion that permits the access; undefined when there is none (yet). */
  #translate(address: bigint): TranslationCompletion | undefined {
    const { pasid, privileged, write, pri } = this.#options;
    const isEnough = ({ read, write: mayWrite }: TranslationCompletion) => (write ? mayWrite : read);
    const held = this.#port.tlb.find(pasid, privileged, address);
    if (held && isEnough(held)) return held;
    const page = address - (address % BigInt(PAGE));
    const options = { ...this.#requestOptions(), noWrite: !write };
    const completion = this.#port.requester.requestTranslation(page, options);
    this.#port.translated(completion);
    this.#tries++;
    if (completion.status !== "success") {
      this.#end(completion.status === "ur" ? DMA_RESULT.UNSUPPORTED_REQUEST : DMA_RESULT.COMPLETER_ABORT);
      return undefined;
    }
    // A completion without permissions is not kept.
    if (completion.read || completion.write) this.#port.tlb.add(pasid, privileged, page, completion);
    if (isEnough(completion)) {
      this.#tries = 0;
      return completion;
    }
    if (pri) {
      this.#isWaiting = true;
      this.#port.requestPage(page);
    } else this.#end(DMA_RESULT.NO_PERMISSION);
    return undefined;
  }

  /** The page request went nowhere. */
  dropped(): void {
    this.#isWaiting = false;
    this.#end(DMA_RESULT.PAGE_REQUEST_FAILED);
  }

  /** Moves what is left up to the end of the page of `at`, by a request for `address`. A stall may delay it. */
  #move(at: bigint, address: bigint, options: DmaOptions): void {
    const { data, write } = this.#options;
    const count = Math.min(data.length - this.#moved, PAGE - Number(at % BigInt(PAGE)));
    const piece = data.subarray(this.#moved, this.#moved + count);
    const done = (result: DmaResult): void => {
      if (this.#isOver) return;
      this.#moved += result.ok ? count : result.done;
      if (result.ok && !write) piece.set(result.data);
      if (result.ok) this.#advance();
      else this.#end(resultOf(result.answer), result.code);
    };
    if (write) this.#port.requester.write(address, piece.slice(), options, done);
    else this.#port.requester.read(address, count, options, done);
  }

  #end(result: DMA_RESULT, code = 0): void {
    if (this.#isOver) return;
    this.#isOver = true;
    this.#port.done({ result, moved: this.#moved, code });
  }
}

/** Where in memory an input address is, by the completion that covers it. */
function outputOf(completion: TranslationCompletion, address: bigint): bigint {
  return completion.address - (completion.address % completion.size) + (address % completion.size);
}

function resultOf(answer: Exclude<DmaResult, { ok: true }>["answer"]): DMA_RESULT {
  if (answer === "bus error") return DMA_RESULT.BUS_ERROR;
  return answer === "ur" ? DMA_RESULT.UNSUPPORTED_REQUEST : DMA_RESULT.COMPLETER_ABORT;
}
