/** A function on a UNIX socket: one client at a time, the next one waits as on any listening socket. */
import { lstatSync, unlinkSync } from "node:fs";
import { connect, createServer, type Server, type Socket } from "node:net";
import { InputError } from "../../capture/input.ts";
import type { PciFunction } from "../function.ts";
import { Session } from "../session.ts";

/** sun_path has 108 bytes, one of them for the NUL. */
const MAX_PATH_BYTES = 107;
/** Clients that may wait. */
const MAX_WAITING = 4;
/** A client that says nothing must not keep others out for good. */
const HANDSHAKE_MILLISECONDS = 10_000;
/** What a client may leave unread: more than any answer, so only one that does not read interrupts gets there. */
const MAX_UNREAD_BYTES = 16 * 1024 * 1024;

export interface ServerOptions {
  path: string;
  target: PciFunction;
  /** What a person may want to know. */
  log?: (line: string) => void;
  handshakeMilliseconds?: number;
}

export class FunctionServer {
  readonly path: string;
  readonly #options: ServerOptions;
  readonly #server: Server;
  readonly #waiting: Socket[] = [];
  #current: Socket | undefined;
  #inode = 0;
  /** Told when a client has come (true) or gone. */
  onClient: (isThere: boolean) => void = () => {};

  private constructor(options: ServerOptions) {
    this.path = options.path;
    this.#options = options;
    this.#server = createServer((socket) => this.#accept(socket));
  }

  /** @throws InputError when the path cannot be had */
  static async listen(options: ServerOptions): Promise<FunctionServer> {
    await makeWay(options.path);
    const server = new FunctionServer(options);
    await new Promise<void>((resolve, reject) => {
      server.#server.once("error", (error: NodeJS.ErrnoException) =>
        reject(new InputError(options.path, "", `no socket can be made here (${error.code}); choose another folder`)),
      );
      server.#server.listen(options.path, resolve);
    });
    server.#server.on("error", (error) => server.#log(error.message));
    server.#inode = lstatSync(options.path).ino;
    return server;
  }

  /** Whether a client is connected. */
  get busy(): boolean {
    return this.#current !== undefined;
  }

  /** Whether the socket file is still there for clients to find. */
  get isReachable(): boolean {
    try {
      return lstatSync(this.path).ino === this.#inode;
    } catch {
      return false;
    }
  }

  /** Ends connections; Node removes the socket. */
  async close(): Promise<void> {
    for (const socket of [...this.#waiting, this.#current]) socket?.destroy();
    this.#waiting.length = 0;
    await new Promise<void>((resolve) => this.#server.close(() => resolve()));
  }

  #log(line: string): void {
    this.#options.log?.(`${this.#options.target.name}: ${line}`);
  }

  #accept(socket: Socket): void {
    socket.on("error", () => socket.destroy());
    if (!this.#current) this.#serve(socket);
    else if (this.#waiting.length < MAX_WAITING) this.#keepWaiting(socket);
    else socket.destroy();
  }

  #keepWaiting(socket: Socket): void {
    socket.pause();
    this.#waiting.push(socket);
    socket.once("close", () => {
      const at = this.#waiting.indexOf(socket);
      if (at >= 0) this.#waiting.splice(at, 1);
    });
  }

  #serve(socket: Socket): void {
    this.#current = socket;
    let isRefused = false;
    const session = new Session(this.#options.target, {
      send: (bytes) => this.#send(socket, bytes),
      close: (why) => {
        this.#log(`client closed: ${why}`);
        socket.end();
        socket.destroySoon();
      },
      refused: (address, errno) => {
        // Once is enough: every interrupt will be refused.
        if (!isRefused) {
          this.#log(`the machine refused a write to 0x${address.toString(16)} (errno ${errno}): is bus mastering on?`);
        }
        isRefused = true;
      },
    });
    const handshake = setTimeout(() => {
      if (session.negotiated) return;
      this.#log("client closed: it said nothing");
      socket.destroy();
    }, this.#options.handshakeMilliseconds ?? HANDSHAKE_MILLISECONDS);
    const whileHealthy = (step: () => void) => {
      this.#guard(socket, step);
      if (session.isHeld) socket.pause();
      else socket.resume();
    };
    socket.on("data", (chunk) => whileHealthy(() => session.receive(chunk)));
    socket.on("drain", () => whileHealthy(() => session.resume()));
    socket.once("close", () => {
      clearTimeout(handshake);
      session.disconnect();
      this.#current = undefined;
      this.onClient(false);
      const next = this.#waiting.shift();
      if (next) this.#serve(next);
    });
    socket.resume();
    this.onClient(true);
  }

  /** A fault of our own costs this client its connection, and nobody else. */
  #guard(socket: Socket, step: () => void): void {
    try {
      step();
    } catch (error) {
      this.#log(`client closed: internal error: ${(error as Error).stack}`);
      socket.destroy();
    }
  }

  /** A client that does not read is not answered either, and dropped when interrupts alone become too many. */
  #send(socket: Socket, bytes: Uint8Array): boolean {
    if (socket.destroyed || socket.writableEnded) return true;
    const goesOn = socket.write(bytes);
    if (socket.writableLength > MAX_UNREAD_BYTES) {
      this.#log("client closed: it does not read what it is sent");
      socket.destroy();
    }
    return goesOn;
  }
}

/** Makes sure that nobody listens at `path`, and removes a socket that a dead server left. */
async function makeWay(path: string): Promise<void> {
  const bytes = new TextEncoder().encode(path).length;
  if (bytes > MAX_PATH_BYTES) {
    throw new InputError(
      path,
      "",
      `a socket's path has at most ${MAX_PATH_BYTES} bytes, this one ${bytes}; use a shorter --sockets`,
    );
  }
  let isSocket: boolean;
  try {
    isSocket = lstatSync(path).isSocket();
  } catch {
    return;
  }
  if (!isSocket) throw new InputError(path, "", "exists and is no socket; remove it, or use another --sockets");
  if (await isServed(path))
    throw new InputError(path, "", "another server listens here; stop it, or use another --sockets");
  unlinkSync(path);
}

function isServed(path: string): Promise<boolean> {
  return new Promise((resolve) => {
    const probe = connect(path);
    probe.once("connect", () => {
      probe.destroy();
      resolve(true);
    });
    probe.once("error", () => resolve(false));
  });
}
