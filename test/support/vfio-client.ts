/**
 * A vfio-user client that knows nothing of the server's code: numbers as in QEMU's docs/interop/vfio-user.rst.
 */
import { connect, type Socket } from "node:net";

export const CMD = {
  VERSION: 1,
  DMA_MAP: 2,
  DMA_UNMAP: 3,
  GET_INFO: 4,
  GET_REGION_INFO: 5,
  GET_REGION_IO_FDS: 6,
  GET_IRQ_INFO: 7,
  SET_IRQS: 8,
  REGION_READ: 9,
  REGION_WRITE: 10,
  DMA_READ: 11,
  DMA_WRITE: 12,
  RESET: 13,
  WRITE_MULTI: 15,
  FEATURE: 16,
} as const;

/** QEMU's own proposal. */
export const CAPABILITIES =
  '{"capabilities":{"max_msg_fds":8,"max_data_xfer_size":1048576,"pgsizes":4096,"max_dma_maps":65535,"write_multiple":true,"migration":{"pgsize":4096}}}';

export interface Reply {
  id: number;
  command: number;
  flags: number;
  errno: number;
  payload: Buffer;
}

/** Bytes of a message, header included. */
export function message(id: number, command: number, payload: Uint8Array = new Uint8Array(), flags = 0): Buffer {
  const bytes = Buffer.alloc(16 + payload.length);
  bytes.writeUInt16LE(id, 0);
  bytes.writeUInt16LE(command, 2);
  bytes.writeUInt32LE(bytes.length, 4);
  bytes.writeUInt32LE(flags, 8);
  bytes.set(payload, 16);
  return bytes;
}

/** Little-endian numbers one after the other: a number takes 4 bytes, a bigint 8. */
export function pack(...values: (number | bigint)[]): Buffer {
  return Buffer.concat(
    values.map((value) => {
      const bytes = Buffer.alloc(typeof value === "bigint" ? 8 : 4);
      if (typeof value === "bigint") bytes.writeBigUInt64LE(value);
      else bytes.writeUInt32LE(value);
      return bytes;
    }),
  );
}

export function version(major = 0, minor = 0, json: string | undefined = CAPABILITIES): Buffer {
  const head = Buffer.alloc(4);
  head.writeUInt16LE(major, 0);
  head.writeUInt16LE(minor, 2);
  return Buffer.concat([head, json === undefined ? Buffer.alloc(0) : Buffer.from(`${json}\0`)]);
}

const REPLY = 1;
const NO_REPLY = 0x10;
const ERROR = 0x20;

export class VfioClient {
  readonly socket: Socket;
  /** Writes that the server sent into the guest, oldest first. */
  readonly writes: { address: bigint; data: Buffer }[] = [];
  /** Answer to DMA_WRITE: 0 or an errno. */
  writeErrno = 0;
  readonly closed: Promise<void>;
  #buffer = Buffer.alloc(0);
  #nextId = 1;
  readonly #waiting = new Map<number, (reply: Reply) => void>();
  readonly #writeWaiters: (() => void)[] = [];

  private constructor(socket: Socket) {
    this.socket = socket;
    socket.on("data", (chunk) => this.#receive(chunk));
    socket.on("error", () => {});
    socket.setMaxListeners(0);
    this.closed = new Promise((resolve) => socket.once("close", () => resolve()));
  }

  static connect(path: string): Promise<VfioClient> {
    return new Promise((resolve, reject) => {
      const socket = connect(path);
      socket.once("error", reject);
      socket.once("connect", () => resolve(new VfioClient(socket)));
    });
  }

  /** Connected, version negotiated. */
  static async open(path: string): Promise<VfioClient> {
    const client = await VfioClient.connect(path);
    const { errno } = await client.call(CMD.VERSION, version());
    if (errno !== 0) throw new Error(`VERSION: errno ${errno}`);
    return client;
  }

  /** Sends a command and waits for its reply. */
  call(command: number, payload?: Uint8Array): Promise<Reply> {
    const id = this.#nextId++;
    const reply = new Promise<Reply>((resolve, reject) => {
      this.#waiting.set(id, resolve);
      this.socket.once("close", () => reject(new Error(`closed before the reply to command ${command}`)));
    });
    this.socket.write(message(id, command, payload));
    return reply;
  }

  /** Sends a command that wants no reply. */
  post(command: number, payload?: Uint8Array): void {
    this.socket.write(message(0xffff, command, payload, NO_REPLY));
  }

  /** The reply to the message with this id, however it was sent. */
  replyTo(id: number): Promise<Reply> {
    return new Promise((resolve) => this.#waiting.set(id, resolve));
  }

  map(address: bigint, size: bigint, offset: bigint, flags = 3): Promise<Reply> {
    return this.call(CMD.DMA_MAP, pack(32, flags, offset, address, size));
  }

  unmap(address: bigint, size: bigint, flags = 0): Promise<Reply> {
    return this.call(CMD.DMA_UNMAP, pack(24, flags, address, size));
  }

  async read(region: number, offset: number, count: number): Promise<Buffer> {
    const { errno, payload } = await this.call(CMD.REGION_READ, pack(BigInt(offset), region, count));
    if (errno !== 0) throw new Error(`REGION_READ: errno ${errno}`);
    return payload.subarray(16);
  }

  async write(region: number, offset: number, data: Uint8Array): Promise<void> {
    const head = pack(BigInt(offset), region, data.length);
    const { errno } = await this.call(CMD.REGION_WRITE, Buffer.concat([head, data]));
    if (errno !== 0) throw new Error(`REGION_WRITE: errno ${errno}`);
  }

  async read32(region: number, offset: number): Promise<number> {
    return (await this.read(region, offset, 4)).readUInt32LE();
  }
  async read64(region: number, offset: number): Promise<bigint> {
    return (await this.read(region, offset, 8)).readBigUInt64LE();
  }
  write16(region: number, offset: number, value: number): Promise<void> {
    const data = Buffer.alloc(2);
    data.writeUInt16LE(value);
    return this.write(region, offset, data);
  }
  write32(region: number, offset: number, value: number): Promise<void> {
    return this.write(region, offset, pack(value));
  }
  write64(region: number, offset: number, value: bigint): Promise<void> {
    return this.write(region, offset, pack(value));
  }

  /** Resolves when the server has sent `count` writes into the guest in all. */
  async written(count: number): Promise<void> {
    while (this.writes.length < count) await new Promise<void>((resolve) => this.#writeWaiters.push(resolve));
  }

  async close(): Promise<void> {
    this.socket.destroy();
    await this.closed;
  }

  #receive(chunk: Buffer): void {
    this.#buffer = Buffer.concat([this.#buffer, chunk]);
    while (this.#buffer.length >= 16) {
      const size = this.#buffer.readUInt32LE(4);
      if (this.#buffer.length < size) return;
      const bytes = this.#buffer.subarray(0, size);
      this.#buffer = this.#buffer.subarray(size);
      this.#take({
        id: bytes.readUInt16LE(0),
        command: bytes.readUInt16LE(2),
        flags: bytes.readUInt32LE(8),
        errno: bytes.readUInt32LE(12),
        payload: bytes.subarray(16),
      });
    }
  }

  #take(message_: Reply): void {
    if (message_.flags & REPLY) {
      this.#waiting.get(message_.id)?.(message_);
      this.#waiting.delete(message_.id);
      return;
    }
    if (message_.command !== CMD.DMA_WRITE) throw new Error(`command ${message_.command} from the server`);
    const address = message_.payload.readBigUInt64LE(0);
    const count = Number(message_.payload.readBigUInt64LE(8));
    this.writes.push({ address, data: message_.payload.subarray(16, 16 + count) });
    const reply = message(message_.id, message_.command, undefined, this.writeErrno === 0 ? REPLY : REPLY | ERROR);
    reply.writeUInt32LE(this.writeErrno, 12);
    this.socket.write(reply);
    for (const wake of this.#writeWaiters.splice(0)) wake();
  }
}
