/** vfio-user messages as bytes: the header, and payloads that are read and written field by field. */
import {
  type COMMAND,
  type ERRNO,
  HEADER,
  HEADER_BYTES,
  MESSAGE_FLAGS,
  MESSAGE_TYPE,
} from "../../assembly/layout/vfio-user.ts";
import { getBits, putBits } from "../structure.ts";
import { viewOf } from "./bytes.ts";

export interface Message {
  id: number;
  command: COMMAND;
  type: MESSAGE_TYPE;
  noReply: boolean;
  /** A reply says that its command failed; `errno` may be 0 even then. */
  error: boolean;
  errno: number;
  payload: Uint8Array;
}

/** A whole message, as `Framer` cuts it. */
export function decodeMessage(bytes: Uint8Array): Message {
  const view = viewOf(bytes);
  const flags = BigInt(view.getUint32(HEADER.FLAGS, true));
  return {
    id: view.getUint16(HEADER.ID, true),
    command: view.getUint16(HEADER.COMMAND, true),
    type: Number(getBits(flags, MESSAGE_FLAGS.TYPE)),
    noReply: getBits(flags, MESSAGE_FLAGS.NO_REPLY) === 1n,
    error: getBits(flags, MESSAGE_FLAGS.ERROR) === 1n,
    errno: view.getUint32(HEADER.ERROR, true),
    payload: bytes.subarray(HEADER_BYTES),
  };
}

export function encodeCommand(id: number, command: COMMAND, payload: Uint8Array): Uint8Array {
  return encode(id, command, putBits(0n, MESSAGE_FLAGS.TYPE, MESSAGE_TYPE.COMMAND), 0, payload);
}

/** The answer to a command: its payload, or why there is none. */
export function encodeReply(id: number, command: COMMAND, answer: Uint8Array | ERRNO): Uint8Array {
  const flags = putBits(0n, MESSAGE_FLAGS.TYPE, MESSAGE_TYPE.REPLY);
  if (typeof answer !== "number") return encode(id, command, flags, 0, answer);
  return encode(id, command, putBits(flags, MESSAGE_FLAGS.ERROR, 1), answer, new Uint8Array(0));
}

function encode(id: number, command: COMMAND, flags: bigint, errno: number, payload: Uint8Array): Uint8Array {
  const bytes = new Uint8Array(HEADER_BYTES + payload.length);
  const view = viewOf(bytes);
  view.setUint16(HEADER.ID, id, true);
  view.setUint16(HEADER.COMMAND, command, true);
  view.setUint32(HEADER.SIZE, bytes.length, true);
  view.setUint32(HEADER.FLAGS, Number(flags), true);
  view.setUint32(HEADER.ERROR, errno, true);
  bytes.set(payload, HEADER_BYTES);
  return bytes;
}
