/** Event records built by hand from a fault: the layout of IHI 0070 7.3, apart from the emulator's. */
import type { Request } from "../../src/index.ts";

export interface EventFault {
  answer: string;
  code: number;
  stage: number;
  class: number;
  ipa: bigint;
  fetchAddress: bigint;
  tableWrite: boolean;
}

const PAGE_BITS = ((1n << 52n) - 1n) & ~0xfffn;
const WORD_BITS = ((1n << 52n) - 1n) & ~7n;

/** The four words of an untranslated request's event, STAG zero. */
export function eventWords(
  request: Request,
  fault: EventFault,
  effective: { privileged: boolean; instruction: boolean },
): [bigint, bigint, bigint, bigint] {
  const { code } = fault;
  const read = request.access !== "w" && request.access !== "a";
  const client = code === 0x01 || code === 0x0b || (code >= 0x10 && code <= 0x13);
  const translation = code >= 0x10 && code <= 0x13;
  const withSsid = code === 0x08 || ![0x06, 0x07].includes(code);
  const ssid = withSsid ? BigInt(request.pasid ?? 0) : 0n;
  const ssv = withSsid && code !== 0x08 && request.pasid !== undefined && request.pasid !== null;
  const word0 = BigInt(code) | (ssv ? 1n << 11n : 0n) | (ssid << 12n) | (BigInt(request.sid) << 32n);
  let word1 = 0n;
  if (client) {
    if (effective.privileged) word1 |= 1n << 33n;
    if (effective.instruction && read) word1 |= 1n << 34n;
    if (fault.stage === 2) word1 |= 1n << 39n;
  }
  if ((client || code === 0x07) && read) word1 |= 1n << 35n;
  if (code === 0x0b || translation) word1 |= BigInt(fault.class) << 40n;
  if (translation && fault.answer === "stall") word1 |= 1n << 31n;
  if (code === 0x13 && fault.class === 1 && !fault.tableWrite) word1 |= 1n << 44n;
  const word2 = client || code === 0x07 ? request.address : 0n;
  const fetched = code === 0x03 || code === 0x09 || code === 0x0b;
  const word3 = fetched
    ? fault.fetchAddress & WORD_BITS
    : translation && fault.stage === 2
      ? fault.ipa & PAGE_BITS
      : 0n;
  return [word0, word1, word2, word3];
}
