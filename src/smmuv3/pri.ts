/** The PRI queue and page request responses: Arm IHI 0070 chapter 8 and 4.5.2. */
import { CMD_PRI_RESP, PRG_RESPONSE, PRI, PRI_RESP } from "../../assembly/layout/smmuv3-queues.ts";
import { CR0, EVENTQ_CONS, EVENTQ_PROD, GERROR, PRIQ_IRQ_CFG2 } from "../../assembly/layout/smmuv3-registers.ts";
import type { Bus } from "../bus.ts";
import type { PageGroupResponse, PageRequest } from "../endpoint.ts";
import { getField, setField } from "../structure.ts";
import type { AtsPort } from "./ats.ts";
import type { CommandWords } from "./commands.ts";
import type { SmmuFeatures } from "./features.ts";
import type { Interrupts } from "./interrupts.ts";
import type { SmmuRegisters } from "./registers.ts";
import type { Ring } from "./ring.ts";

/** Whether automatic responses of a stream carry its PASID (STE.PPAR); undefined: it has no valid STE. */
export type PasidRequired = (sid: number) => boolean | undefined;

/** What became of a page request. */
export type PageRequestOutcome =
  /** In the queue, software will answer. */
  | "queued"
  /** Answered by the SMMU: success (the device shall try again) or failure. */
  | "retry"
  | "failure"
  /** Gone without an answer. */
  | "dropped";

const WORDS = 2;

/** CMD_PRI_RESP.Resp as it goes over the wire. */
const WIRE: Readonly<Record<number, PRG_RESPONSE>> = {
  [PRI_RESP.FAILURE]: PRG_RESPONSE.FAILURE,
  [PRI_RESP.INVALID_REQUEST]: PRG_RESPONSE.INVALID_REQUEST,
  [PRI_RESP.SUCCESS]: PRG_RESPONSE.SUCCESS,
};

export class PriQueue {
  readonly #features: SmmuFeatures;
  readonly #registers: SmmuRegisters;
  readonly #ring: Ring;
  readonly #bus: Bus;
  readonly #interrupts: Interrupts;
  readonly #port: AtsPort;
  readonly #pasidRequired: PasidRequired;

  constructor(
    features: SmmuFeatures,
    registers: SmmuRegisters,
    ring: Ring,
    bus: Bus,
    interrupts: Interrupts,
    port: AtsPort,
    pasidRequired: PasidRequired,
  ) {
    this.#features = features;
    this.#registers = registers;
    this.#ring = ring;
    this.#bus = bus;
    this.#interrupts = interrupts;
    this.#port = port;
    this.#pasidRequired = pasidRequired;
  }

  /** Queues a page request, or answers it at once. */
  receive(request: PageRequest): PageRequestOutcome {
    // § 8.2: PRIQEN counts only together with SMMUEN.
    const enabled =
      this.#features.PRI === 1 &&
      this.#registers.has("CR0ACK", CR0.PRIQEN) &&
      this.#registers.has("CR0ACK", CR0.SMMUEN);
    if (!enabled || this.#interrupts.isActive(GERROR.PRIQ_ABT_ERR)) return this.#answer(request, PRG_RESPONSE.FAILURE);
    // § 8.1: while software has not acknowledged an overflow nothing is queued, even if there is room.
    if (this.#isOverflowing || this.#ring.isFull) return this.#overflow(request);
    const wasEmpty = this.#ring.isEmpty;
    if (!this.#bus.writeWords(this.#ring.addressOf(this.#ring.prod), encodePageRequest(request))) {
      this.#interrupts.error(GERROR.PRIQ_ABT_ERR);
      return this.#answer(request, PRG_RESPONSE.FAILURE);
    }
    this.#ring.advanceProd();
    if (this.#onLast ? request.last : wasEmpty) this.#interrupts.raise("priq");
    return "queued";
  }

  /** CMD_PRI_RESP. */
  respond(command: CommandWords): void {
    const hasPasid = this.#features.SSIDSIZE > 0 && getField(command, CMD_PRI_RESP.SSV) === 1n;
    const response: PageGroupResponse = {
      code: WIRE[Number(getField(command, CMD_PRI_RESP.Resp))] as PRG_RESPONSE,
      group: Number(getField(command, CMD_PRI_RESP.PRGIndex)),
      ...(hasPasid ? { pasid: Number(getField(command, CMD_PRI_RESP.SubstreamID)) } : {}),
    };
    this.#port.endpoint(Number(getField(command, CMD_PRI_RESP.StreamID)))?.respond(response);
  }

  /** § 6.3.37: an interrupt for each last request of a group, rather than when the queue is no longer empty. */
  get #onLast(): boolean {
    return this.#registers.has("PRIQ_IRQ_CFG2", PRIQ_IRQ_CFG2.LO);
  }

  get #isOverflowing(): boolean {
    return (
      this.#registers.has("PRIQ_PROD", EVENTQ_PROD.OVFLG) !== this.#registers.has("PRIQ_CONS", EVENTQ_CONS.OVACKFLG)
    );
  }

  #overflow(request: PageRequest): PageRequestOutcome {
    if (!this.#isOverflowing) {
      this.#registers.setField("PRIQ_PROD", EVENTQ_PROD.OVFLG, !this.#registers.has("PRIQ_PROD", EVENTQ_PROD.OVFLG));
    }
    if (this.#onLast && request.last) this.#interrupts.raise("priq");
    if (!isAnswered(request)) return "dropped";
    const pasid = request.pasid ?? null;
    if (pasid === null || this.#features.SSIDSIZE === 0) return this.#answer(request, PRG_RESPONSE.SUCCESS);
    if (this.#features.PPS) return this.#answer(request, PRG_RESPONSE.SUCCESS, pasid);
    // § 8.1: PPAR decides, and without a valid STE the response is a failure.
    const required = this.#pasidRequired(request.sid);
    if (required === undefined) return this.#answer(request, PRG_RESPONSE.FAILURE);
    return this.#answer(request, PRG_RESPONSE.SUCCESS, required ? pasid : undefined);
  }

  #answer(request: PageRequest, code: PRG_RESPONSE, pasid?: number): PageRequestOutcome {
    if (!isAnswered(request)) return "dropped";
    const response: PageGroupResponse = { code, group: request.group ?? 0, ...(pasid === undefined ? {} : { pasid }) };
    this.#port.endpoint(request.sid)?.respond(response);
    return code === PRG_RESPONSE.SUCCESS ? "retry" : "failure";
  }
}

/** § 8.2: the last request of a group is answered, unless it is a stop marker. */
function isAnswered({ pasid, read, write, last }: PageRequest): boolean {
  const isStopMarker = typeof pasid === "number" && !read && !write;
  return last === true && !isStopMarker;
}

/** The two words of a PRI queue entry. */
export function encodePageRequest(request: PageRequest): bigint[] {
  const words = new Array<bigint>(WORDS).fill(0n);
  const hasPasid = typeof request.pasid === "number";
  setField(words, PRI.StreamID, request.sid);
  setField(words, PRI.SSV, hasPasid);
  setField(words, PRI.SubstreamID, request.pasid ?? 0);
  // Execute and privileged come with the PASID.
  setField(words, PRI.Priv, hasPasid && request.privileged === true);
  setField(words, PRI.X, hasPasid && request.execute === true);
  setField(words, PRI.R, request.read === true);
  setField(words, PRI.W, request.write === true);
  setField(words, PRI.Last, request.last === true);
  setField(words, PRI.PRGIndex, request.group ?? 0);
  setField(words, PRI.Addr, request.address >> LOG2_PAGE);
  return words;
}

const LOG2_PAGE = 12n;
