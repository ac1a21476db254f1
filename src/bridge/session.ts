/**
 * One client's conversation with one function: vfio-user 0.1, QEMU docs/interop/vfio-user.rst.
 *
 * Bytes in, bytes out; sockets are somebody else's. Nothing a client sends makes it throw: what the
 * protocol forbids is answered with an errno, and a stream that cannot be followed ends the session.
 */
import {
  COMMAND,
  DMA_ACCESS,
  ERRNO,
  MAJOR,
  MESSAGE_TYPE,
  MINOR,
  NUM_REGIONS,
  REGION_ACCESS,
  VERSION,
  WRITE_MULTI,
  WRITE_MULTI_DATA_BYTES,
  WRITE_MULTI_ENTRY_BYTES,
} from "../../assembly/layout/vfio-user.ts";
import { text, viewOf } from "./bytes.ts";
import { deviceInfo, irqInfo, mapDma, regionInfo, setIrqs, unmapDma } from "./device-commands.ts";
import { DmaMap, MAX_DMA_MAPS } from "./dma-map.ts";
import { Framer, MAX_TRANSFER_BYTES } from "./framing.ts";
import type { BusMaster, PciFunction } from "./function.ts";
import { decodeMessage, encodeCommand, encodeReply, type Message } from "./message.ts";

/** What a session needs of its socket. */
export interface SessionPort {
  /** @returns false: the client has much to read already; `resume` follows when it has */
  send(bytes: Uint8Array): boolean;
  /** Ends the connection; `why` is for people. */
  close(why: string): void;
  /** A write into the guest that the client refused, with its errno. */
  refused?(address: bigint, errno: number): void;
}

/** File descriptors that the client may send along. They are dropped: memory comes by path, interrupts as writes. */
const MAX_FDS = 8;
/** Message ids are 16 bits; more writes than that are never waited for at once. */
const ID_COUNT = 0x10000;

export class Session implements BusMaster {
  readonly memory: DmaMap = new DmaMap();
  readonly #function: PciFunction;
  readonly #port: SessionPort;
  readonly #framer = new Framer();
  /** Writes into the guest that have no answer yet: address by message id. */
  readonly #pending = new Map<number, bigint>();
  #nextId = 0;
  #negotiated = false;
  #open = true;
  /** The client is not answered before it has read more. */
  #isHeld = false;

  constructor(target: PciFunction, port: SessionPort) {
    this.#function = target;
    this.#port = port;
    target.attach(this.memory, this);
  }

  /** Whether both sides have agreed on a version. */
  get negotiated(): boolean {
    return this.#negotiated;
  }

  /** Takes bytes as they arrive. */
  receive(chunk: Uint8Array): void {
    if (!this.#open) return;
    this.#framer.push(chunk);
    this.#proceed();
  }

  /** Whether what has arrived waits for the client to read its answers. */
  get isHeld(): boolean {
    return this.#isHeld;
  }

  /** The client has read its answers. */
  resume(): void {
    this.#isHeld = false;
    this.#proceed();
  }

  #proceed(): void {
    while (this.#open && !this.#isHeld) {
      const bytes = this.#framer.next();
      if (bytes === undefined) return;
      if (typeof bytes === "number") this.#end(`a message of ${bytes} bytes`);
      else this.#take(decodeMessage(bytes));
    }
  }

  /** The connection is over: the client's memory is gone, the function keeps its state. */
  disconnect(): void {
    if (!this.#open) return;
    this.#open = false;
    this.#pending.clear();
    this.#function.detach();
  }

  /** Writes into the guest without waiting: an interrupt message. */
  write(address: bigint, data: Uint8Array): void {
    if (!this.#open || !this.#negotiated) return;
    const payload = new Uint8Array(DMA_ACCESS.DATA + data.length);
    const view = viewOf(payload);
    view.setBigUint64(DMA_ACCESS.ADDRESS, address, true);
    view.setBigUint64(DMA_ACCESS.COUNT, BigInt(data.length), true);
    payload.set(data, DMA_ACCESS.DATA);
    const id = this.#nextId;
    this.#nextId = (id + 1) % ID_COUNT;
    this.#pending.set(id, address);
    this.#port.send(encodeCommand(id, COMMAND.DMA_WRITE, payload));
  }

  #end(why: string): void {
    this.disconnect();
    this.#port.close(why);
  }

  #take(message: Message): void {
    if (message.type === MESSAGE_TYPE.REPLY) this.#takeReply(message);
    else if (message.type !== MESSAGE_TYPE.COMMAND) this.#end(`a message of type ${message.type}`);
    else if (!this.#negotiated) this.#negotiate(message);
    else this.#reply(message, this.#execute(message));
  }

  #reply({ id, command, noReply }: Message, answer: Uint8Array | ERRNO): void {
    if (!noReply) this.#isHeld = !this.#port.send(encodeReply(id, command, answer));
  }

  #takeReply({ id, error, errno }: Message): void {
    const address = this.#pending.get(id);
    this.#pending.delete(id);
    if (address === undefined) this.#end(`a reply to message ${id}, which was not sent`);
    else if (error) this.#port.refused?.(address, errno);
  }

  /** The first message, or the end of the session. */
  #negotiate(message: Message): void {
    const refusal = message.command === COMMAND.VERSION ? versionProblem(message.payload) : "a command before VERSION";
    this.#negotiated = refusal === undefined;
    this.#reply(message, refusal === undefined ? versionReply(message.payload) : ERRNO.EINVAL);
    if (refusal !== undefined) this.#end(refusal);
  }

  #execute({ command, payload }: Message): Uint8Array | ERRNO {
    switch (command) {
      case COMMAND.DMA_MAP:
        return mapDma(this.memory, payload);
      case COMMAND.DMA_UNMAP:
        return unmapDma(this.memory, payload);
      case COMMAND.DEVICE_GET_INFO:
        return deviceInfo(payload);
      case COMMAND.DEVICE_GET_REGION_INFO:
        return regionInfo(this.#function, payload);
      case COMMAND.DEVICE_GET_IRQ_INFO:
        return irqInfo(this.#function, payload);
      case COMMAND.DEVICE_SET_IRQS:
        return setIrqs(this.#function, payload);
      case COMMAND.REGION_READ:
        return this.#read(payload);
      case COMMAND.REGION_WRITE:
        return this.#write(payload);
      case COMMAND.REGION_WRITE_MULTI:
        return this.#writeMulti(payload);
      case COMMAND.DEVICE_RESET:
        this.#function.reset();
        return new Uint8Array(0);
      // The server's own commands, and a second VERSION.
      case COMMAND.DMA_READ:
      case COMMAND.DMA_WRITE:
      case COMMAND.VERSION:
        return ERRNO.EINVAL;
      default:
        return ERRNO.EOPNOTSUPP;
    }
  }

  #read(payload: Uint8Array): Uint8Array | ERRNO {
    const access = regionAccess(this.#function, payload);
    if (typeof access === "number") return access;
    const { region, offset, count } = access;
    if (count > MAX_TRANSFER_BYTES) return ERRNO.E2BIG;
    const reply = new Uint8Array(REGION_ACCESS.DATA + count);
    reply.set(payload.subarray(0, REGION_ACCESS.DATA));
    this.#function.readRegion(region, offset, reply.subarray(REGION_ACCESS.DATA));
    return reply;
  }

  #write(payload: Uint8Array): Uint8Array | ERRNO {
    const access = regionAccess(this.#function, payload);
    if (typeof access === "number") return access;
    const { region, offset, count } = access;
    const data = payload.subarray(REGION_ACCESS.DATA);
    if (data.length !== count) return ERRNO.EINVAL;
    this.#function.writeRegion(region, offset, data);
    return payload.slice(0, REGION_ACCESS.DATA);
  }

  /** Several writes of up to 8 bytes. All are checked before the first is made. */
  #writeMulti(payload: Uint8Array): Uint8Array | ERRNO {
    if (payload.length < WRITE_MULTI.WRITES) return ERRNO.EINVAL;
    const entries = viewOf(payload).getBigUint64(WRITE_MULTI.COUNT, true);
    if (BigInt(payload.length - WRITE_MULTI.WRITES) !== entries * BigInt(WRITE_MULTI_ENTRY_BYTES)) return ERRNO.EINVAL;
    const writes: (RegionAccess & { data: Uint8Array })[] = [];
    for (let at: number = WRITE_MULTI.WRITES; at < payload.length; at += WRITE_MULTI_ENTRY_BYTES) {
      const entry = payload.subarray(at, at + WRITE_MULTI_ENTRY_BYTES);
      const access = regionAccess(this.#function, entry);
      if (typeof access === "number") return access;
      if (access.count > WRITE_MULTI_DATA_BYTES) return ERRNO.EINVAL;
      writes.push({ ...access, data: entry.subarray(REGION_ACCESS.DATA, REGION_ACCESS.DATA + access.count) });
    }
    for (const { region, offset, data } of writes) this.#function.writeRegion(region, offset, data);
    return payload.slice(0, WRITE_MULTI.WRITES);
  }
}

interface RegionAccess {
  region: number;
  offset: number;
  count: number;
}

/** Where an access goes, if all of it lies in a region. */
function regionAccess(target: PciFunction, payload: Uint8Array): RegionAccess | ERRNO {
  if (payload.length < REGION_ACCESS.DATA) return ERRNO.EINVAL;
  const view = viewOf(payload);
  const region = view.getUint32(REGION_ACCESS.REGION, true);
  const count = view.getUint32(REGION_ACCESS.COUNT, true);
  const offset = view.getBigUint64(REGION_ACCESS.OFFSET, true);
  if (region >= NUM_REGIONS) return ERRNO.EINVAL;
  if (count === 0 || offset + BigInt(count) > BigInt(target.regionBytes(region))) return ERRNO.EINVAL;
  return { region, offset: Number(offset), count };
}

/** Why the client's version cannot be spoken. */
function versionProblem(payload: Uint8Array): string | undefined {
  if (payload.length < VERSION.DATA) return "a VERSION message that is too short";
  const major = viewOf(payload).getUint16(VERSION.MAJOR, true);
  if (major !== MAJOR) return `protocol version ${major}, where ${MAJOR} is spoken`;
  return capabilitiesOf(payload) ? undefined : "capabilities that are no JSON";
}

/** What the client proposes by name; undefined if it cannot be read. */
function capabilitiesOf(payload: Uint8Array): Record<string, unknown> | undefined {
  const data = payload.subarray(VERSION.DATA);
  if (data.length === 0) return {};
  if (data.at(-1) !== 0) return undefined;
  try {
    // Byte by byte: what is not ASCII can only stand in strings that nobody here reads.
    const json = Array.from(data.subarray(0, -1), (byte) => String.fromCharCode(byte)).join("");
    if (json === "") return {};
    const { capabilities = {} } = JSON.parse(json) as { capabilities?: unknown };
    return isRecord(capabilities) ? capabilities : undefined;
  } catch {
    return undefined;
  }
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

const OWN_CAPABILITIES: Readonly<Record<string, unknown>> = {
  max_msg_fds: MAX_FDS,
  max_data_xfer_size: MAX_TRANSFER_BYTES,
  max_dma_maps: MAX_DMA_MAPS,
  write_multiple: true,
};

/** The same major version, the lower minor, and those capabilities that the client proposed. */
function versionReply(payload: Uint8Array): Uint8Array {
  const proposed = capabilitiesOf(payload) ?? {};
  const capabilities = Object.fromEntries(Object.entries(OWN_CAPABILITIES).filter(([name]) => name in proposed));
  const json = JSON.stringify({ capabilities });
  // One more for the NUL.
  const reply = new Uint8Array(VERSION.DATA + json.length + 1);
  const view = viewOf(reply);
  view.setUint16(VERSION.MAJOR, MAJOR, true);
  view.setUint16(VERSION.MINOR, Math.min(MINOR, viewOf(payload).getUint16(VERSION.MINOR, true)), true);
  text(reply, VERSION.DATA, json);
  return reply;
}
