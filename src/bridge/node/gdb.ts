/** As much of GDB's remote protocol as it takes to set registers of a stopped QEMU, and let it run. */
import { connect, type Socket } from "node:net";

const CONNECT_MILLISECONDS = 30_000;
const RETRY_MILLISECONDS = 50;

/** A 32-bit or 16-bit word for a physical address. */
export interface Poke {
  address: bigint;
  value: number;
  bytes: 2 | 4;
}

/**
 * Waits until QEMU listens at `path`, stores the words in its physical memory, and detaches, which starts it.
 * @throws Error when nobody listens in time, or it refuses
 */
export async function pokeAndStart(path: string, pokes: readonly Poke[], signal: AbortSignal): Promise<void> {
  const socket = await reach(path, signal);
  try {
    const stub = new Stub(socket);
    // Before that, QEMU takes addresses as virtual ones.
    await stub.request("Qqemu.PhyMemMode:1");
    for (const { address, value, bytes } of pokes) {
      const data = Buffer.alloc(4);
      data.writeUInt32LE(value);
      await stub.request(`M${address.toString(16)},${bytes}:${data.subarray(0, bytes).toString("hex")}`);
    }
    await stub.request("D");
  } finally {
    socket.destroy();
  }
}

async function reach(path: string, signal: AbortSignal): Promise<Socket> {
  for (let waited = 0; waited < CONNECT_MILLISECONDS && !signal.aborted; waited += RETRY_MILLISECONDS) {
    const socket = await attempt(path);
    if (socket) return socket;
    await new Promise((resolve) => setTimeout(resolve, RETRY_MILLISECONDS));
  }
  throw new Error(`QEMU does not listen for a debugger at ${path}`);
}

function attempt(path: string): Promise<Socket | undefined> {
  return new Promise((resolve) => {
    const socket = connect(path);
    socket.once("connect", () => resolve(socket));
    socket.once("error", () => resolve(undefined));
  });
}

class Stub {
  readonly #socket: Socket;
  #received = "";
  #wake: () => void = () => {};
  #isClosed = false;

  constructor(socket: Socket) {
    this.#socket = socket;
    socket.on("data", (chunk) => {
      this.#received += chunk.toString("latin1");
      this.#wake();
    });
    socket.on("close", () => {
      this.#isClosed = true;
      this.#wake();
    });
  }

  /** Sends a packet and waits for the answer OK. */
  async request(packet: string): Promise<void> {
    const sum = [...packet].reduce((total, character) => total + character.charCodeAt(0), 0) % 256;
    this.#received = "";
    this.#socket.write(`$${packet}#${sum.toString(16).padStart(2, "0")}`);
    let answer: string | undefined;
    while (answer === undefined) {
      answer = /\$([^#]*)#../.exec(this.#received)?.[1];
      if (answer === undefined && this.#isClosed) throw new Error(`QEMU hung up on ${packet}`);
      if (answer === undefined) {
        await new Promise<void>((resolve) => {
          this.#wake = resolve;
        });
      }
    }
    this.#socket.write("+");
    if (answer !== "OK") throw new Error(`QEMU answered "${answer}" to ${packet}`);
  }
}
