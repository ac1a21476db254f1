/**
 * One space, many threads: workers ask the owner by messages.
 *
 * The owner's thread runs every call, so nothing races: two workers never get one ID, and a free is
 * seen by everybody at once. Each port has a set of its own; what a worker leaves behind is freed when
 * its port is closed. Data cross as structured clones.
 */
import { checkOneOf } from "../check.ts";
import type { Ioasid } from "./ioasid.ts";
import type { Found, Status } from "./result.ts";
import { IoasidSet } from "./sets.ts";

/** A MessagePort of a page, a worker, or `node:worker_threads`. */
export interface IoasidPort {
  postMessage(message: unknown): void;
  addEventListener(type: "message", listener: (event: { data: unknown }) => void): void;
  start?(): void;
}

const METHODS = ["alloc", "free", "find", "setData"] as const;
type Method = (typeof METHODS)[number];

interface Call {
  call: number;
  method: Method;
  args: readonly unknown[];
}

interface Reply {
  call: number;
  value?: unknown;
  error?: { name: string; message: string };
}

/** What an owner keeps of a port. */
export interface IoasidServer {
  /** The set that the port's IDs are in. */
  readonly set: IoasidSet;
  /** Stops answering and frees the port's IDs. */
  close(): void;
}

/** Answers the calls that come in through `port`. */
export function serveIoasid(ids: Ioasid, port: IoasidPort, name = "worker"): IoasidServer {
  const set = new IoasidSet(name);
  let open = true;
  const methods: Record<Method, (...args: never[]) => unknown> = {
    alloc: (min: number, max: number, data: unknown) => ids.alloc(set, min, max, data),
    free: (id: number) => ids.free(id, set),
    find: (id: number) => ids.find(set, id),
    setData: async (id: number, data: unknown): Promise<Status> => {
      const found = ids.find(set, id);
      return found.kind === "error" ? { ok: false, error: found.error } : ids.setData(id, data);
    },
  };
  const answer = async ({ call, method, args }: Call): Promise<Reply> => {
    try {
      const run = methods[checkOneOf("method", method, METHODS)];
      return { call, value: await run(...(args as never[])) };
    } catch (error) {
      const { name, message } = error as Error;
      return { call, error: { name, message } };
    }
  };
  port.addEventListener("message", ({ data }) => {
    if (open) void answer(data as Call).then((reply) => port.postMessage(reply));
  });
  port.start?.();
  return {
    set,
    close: () => {
      open = false;
      for (const { id } of [...ids.entries(set)]) while (ids.references(id) > 0) ids.free(id, set);
    },
  };
}

/** The space as a worker sees it: the calls of `Ioasid`, with promises. */
export class RemoteIoasid<T = unknown> {
  readonly #port: IoasidPort;
  readonly #waiting: Map<number, { resolve: (value: unknown) => void; reject: (error: Error) => void }> = new Map();
  #calls = 0;

  constructor(port: IoasidPort) {
    this.#port = port;
    port.addEventListener("message", ({ data }) => this.#settle(data as Reply));
    port.start?.();
  }

  /** As `Ioasid.alloc`; rejects with its RangeError or TypeError. */
  alloc(min: number, max: number, data: T | null = null): Promise<number | undefined> {
    return this.#call("alloc", min, max, data);
  }
  free(id: number): Promise<boolean> {
    return this.#call("free", id);
  }
  find(id: number): Promise<Found<T>> {
    return this.#call("find", id);
  }
  setData(id: number, data: T | null): Promise<Status<"ENOENT" | "EACCES">> {
    return this.#call("setData", id, data);
  }

  #call<R>(method: Method, ...args: unknown[]): Promise<R> {
    const call = ++this.#calls;
    return new Promise<R>((resolve, reject) => {
      this.#waiting.set(call, { resolve: resolve as (value: unknown) => void, reject });
      this.#port.postMessage({ call, method, args } satisfies Call);
    });
  }

  #settle({ call, value, error }: Reply): void {
    const waiting = this.#waiting.get(call);
    this.#waiting.delete(call);
    if (!error) waiting?.resolve(value);
    else waiting?.reject(error.name === "RangeError" ? new RangeError(error.message) : new TypeError(error.message));
  }
}
