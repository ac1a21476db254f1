/** CMD_ATC_INV: invalidation requests to the endpoints' translation caches, Arm IHI 0070 3.9.1 and 4.5.1. */
import { ATC_INV_ALL, CMD_ATC_INV } from "../../assembly/layout/smmuv3-queues.ts";
import type { DeviceInvalidation, Endpoint } from "../endpoint.ts";
import { getField, getInPlace } from "../structure.ts";
import type { CommandWords } from "./commands.ts";
import type { SmmuFeatures } from "./features.ts";

const LOG2_PAGE = 12n;

export class AtsPort {
  readonly #features: SmmuFeatures;
  readonly #endpoints = new Map<number, Endpoint>();
  /** An invalidation was never answered, and no CMD_SYNC has said so yet. */
  hasTimedOut = false;

  constructor(features: SmmuFeatures) {
    this.#features = features;
  }

  attach(sid: number, endpoint: Endpoint): void {
    this.#endpoints.set(sid, endpoint);
  }

  detach(sid: number): void {
    this.#endpoints.delete(sid);
  }

  endpoint(sid: number): Endpoint | undefined {
    return this.#endpoints.get(sid);
  }

  /** Sends an invalidation request. Where nobody is, it is unsupported, and so complete. */
  invalidate(command: CommandWords): void {
    const endpoint = this.#endpoints.get(Number(getField(command, CMD_ATC_INV.StreamID)));
    const answered = endpoint?.invalidate(this.#invalidation(command)) ?? true;
    this.hasTimedOut ||= !answered;
  }

  /** Whether an invalidation since the last call was never answered: for CMD_SYNC. */
  takeTimeout(): boolean {
    const timedOut = this.hasTimedOut;
    this.hasTimedOut = false;
    return timedOut;
  }

  #invalidation(command: CommandWords): DeviceInvalidation {
    // § 4.5.1: without PASIDs SSV does not count; Global counts with SSV only.
    const hasPasid = this.#features.SSIDSIZE > 0 && getField(command, CMD_ATC_INV.SSV) === 1n;
    const log2Pages = getField(command, CMD_ATC_INV.Size);
    const size = 1n << (log2Pages + LOG2_PAGE);
    const address = getInPlace(command, CMD_ATC_INV.Address);
    return {
      ...(hasPasid ? { pasid: Number(getField(command, CMD_ATC_INV.SubstreamID)) } : {}),
      global: hasPasid && getField(command, CMD_ATC_INV.Global) === 1n,
      address: log2Pages >= BigInt(ATC_INV_ALL) ? 0n : address - (address % size),
      size,
    };
  }
}
