/** Threads: one owner of the space, workers that ask it by messages. */
import { MessageChannel, type MessagePort, Worker } from "node:worker_threads";
import { afterEach, describe, expect, it } from "vitest";
import { Ioasid, type IoasidPort, RemoteIoasid, serveIoasid } from "../../src/ioasid/index.ts";

/** What runs in a worker: plain JavaScript that speaks the protocol, as any client could. */
const WORKER = `
  const { workerData } = require("node:worker_threads");
  const { port, results, rounds, max } = workerData;
  let calls = 0;
  const waiting = new Map();
  port.on("message", ({ call, value, error }) => {
    waiting.get(call)(error ?? value);
    waiting.delete(call);
  });
  const ask = (method, ...args) =>
    new Promise((resolve) => {
      waiting.set(++calls, resolve);
      port.postMessage({ call: calls, method, args });
    });
  (async () => {
    const held = [];
    for (let i = 0; i < rounds; i++) {
      const id = await ask("alloc", 1, max, { by: "worker", round: i });
      if (id !== undefined) held.push(id);
      if (i % 3 === 2) await ask("free", held.shift());
    }
    results.postMessage(held);
  })();
`;

/** Node's ports are EventTargets at run time; its types say so in a way of their own. */
const asPort = (port: MessagePort): IoasidPort => port as unknown as IoasidPort;

describe("a space and its workers", () => {
  const cleanups: (() => unknown)[] = [];
  afterEach(async () => {
    for (const cleanup of cleanups.splice(0)) await cleanup();
  });

  function connect(ids: Ioasid) {
    const { port1, port2 } = new MessageChannel();
    cleanups.push(() => port1.close());
    return { server: serveIoasid(ids, asPort(port1)), port: port2 };
  }

  it("real threads never hold one ID twice, and the owner sees all of it", async () => {
    const ids = new Ioasid();
    const workers = [1, 2, 3].map(() => {
      const { server, port } = connect(ids);
      const results = new MessageChannel();
      const workerData = { port, results: results.port2, rounds: 60, max: 0xfffff };
      const worker = new Worker(WORKER, { eval: true, workerData, transferList: [port, results.port2] });
      cleanups.push(() => worker.terminate());
      cleanups.push(() => results.port1.close());
      return { server, held: new Promise<number[]>((resolve) => results.port1.once("message", resolve)) };
    });
    const held = await Promise.all(workers.map((worker) => worker.held));
    const all = held.flat();
    expect(all.length).toBe(3 * 40);
    expect(new Set(all).size).toBe(all.length);
    expect(ids.count).toBe(all.length);
    workers.forEach(({ server }, i) => {
      const mine = [...ids.entries(server.set)];
      expect(mine.map(({ id }) => id)).toEqual([...(held[i] as number[])].sort((a, b) => a - b));
      expect(mine.every(({ data }) => (data as { by: string }).by === "worker")).toBe(true);
    });
    // What a worker left behind goes with its port.
    for (const { server } of workers) server.close();
    expect(ids.count).toBe(0);
  });

  it("the client's calls are the space's, errors included", async () => {
    const ids = new Ioasid();
    const { server, port } = connect(ids);
    cleanups.push(() => port.close());
    const remote = new RemoteIoasid<string>(asPort(port));
    expect(await remote.alloc(5, 6, "five")).toBe(5);
    expect(await Promise.all([remote.alloc(5, 6), remote.alloc(5, 6)])).toEqual([6, undefined]);
    expect(await remote.find(5)).toEqual({ kind: "value", value: "five" });
    expect(await remote.setData(5, "cinq")).toEqual({ ok: true });
    expect(await remote.find(5)).toEqual({ kind: "value", value: "cinq" });
    expect(ids.find(server.set, 5)).toEqual({ kind: "value", value: "cinq" });
    // The owner's own IDs are out of a worker's reach.
    ids.alloc(null, 9, 9, "owner's");
    expect(await remote.find(9)).toEqual({ kind: "error", error: "EACCES" });
    expect(await remote.setData(9, "mine")).toEqual({ ok: false, error: "EACCES" });
    expect([await remote.free(9), await remote.free(5), await remote.free(5)]).toEqual([false, true, false]);
    await expect(remote.alloc(0, 0x100000)).rejects.toThrow(
      new RangeError("max: 1048576 is not a whole number in 0..1048575"),
    );
    await expect(remote.free("5" as unknown as number)).rejects.toThrow(TypeError);
    expect([...ids.entries()].map(({ id }) => id)).toEqual([6, 9]);
  });

  it("setData of a worker waits for the owner's readers", async () => {
    const ids = new Ioasid();
    const { port } = connect(ids);
    cleanups.push(() => port.close());
    const remote = new RemoteIoasid<string>(asPort(port));
    const id = (await remote.alloc(1, 9, "old")) as number;
    const reader = ids.reader();
    let settled = false;
    const done = remote.setData(id, "new").then(() => {
      settled = true;
    });
    // A later call overtakes it: the space is not blocked.
    expect(await remote.find(id)).toEqual({ kind: "value", value: "new" });
    expect(settled).toBe(false);
    reader.end();
    await done;
  });

  it("messages that are none of its methods are refused", async () => {
    const ids = new Ioasid();
    const { port } = connect(ids);
    cleanups.push(() => port.close());
    const answer = new Promise((resolve) => port.once("message", resolve));
    port.postMessage({ call: 1, method: "registerAllocator", args: [] });
    expect(await answer).toEqual({
      call: 1,
      error: { name: "TypeError", message: 'method: "registerAllocator" is not one of alloc, free, find, setData' },
    });
  });
});
