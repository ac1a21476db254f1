/** Boots a packaged kernel on one of our units, and keeps what its console says. */
import { spawn } from "node:child_process";
import { mkdirSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { dumpTree } from "../../../src/bridge/node/qemu.ts";
import { BridgeServer, plainCommandFor, type ServeOptions } from "../../../src/bridge/node/serve.ts";
import { CACHE, kernel, qemu } from "../cache.ts";
import { makeInitramfs, release } from "./initramfs.ts";
import { type Machine, UNITS } from "./machines.ts";

const MEBIBYTE = 2 ** 20;
const MEMORY = 512 * MEBIBYTE;
/** A machine without acceleration on a busy host. */
const PATIENCE = 8 * 60_000;

export interface Boot {
  /** Lines of the serial console. */
  lines: readonly string[];
  /** What the host saw of the unit when the guest wrote each `e2e:` line, by that line. */
  states: ReadonlyMap<string, UnitState>;
  /** File with the lines. */
  log: string;
  seconds: number;
}

/** A look at the unit's registers. */
export interface UnitState {
  /** VT-d GSTS, SMMUv3 CR0ACK. */
  status: number;
  /** Faults or events waiting for software. */
  pending: boolean;
}

/** Boots a machine; its unit caches all it may until an invalidation says otherwise. */
export async function boot({ name, architecture, append }: Machine): Promise<Boot> {
  const isX86 = architecture === "amd64";
  const options: ServeOptions = {
    unit: UNITS[architecture],
    caches: "retain",
    devices: 1,
    ram: `/dev/shm/iommulator-e2e-${process.pid}`,
    memory: MEMORY,
    machine: {
      qemu: qemu(architecture),
      kernel: join(kernel(architecture), "usr/lib/modules", release(architecture), "vmlinuz"),
      initrd: makeInitramfs(architecture),
      append: `${append} loglevel=7 panic=-1`,
    },
    log: () => {},
  };
  if (!isX86) options.tree = dumpTree(plainCommandFor(options));
  const server = await BridgeServer.open(options);
  const log = join(CACHE, "logs", `${name.replaceAll(/\W+/g, "-")}.log`);
  const started = Date.now();
  const lines: string[] = [];
  const states = new Map<string, UnitState>();
  try {
    await runMachine(server, (line) => {
      lines.push(line);
      if (line.includes("e2e: ")) states.set(line.replace(/^.*?e2e: /, ""), stateOf(server, isX86));
    });
  } finally {
    await server.close();
    rmSync(options.ram, { force: true });
    mkdirSync(join(CACHE, "logs"), { recursive: true });
    writeFileSync(log, `${lines.join("\n")}\n`);
  }
  return { lines, states, log, seconds: Math.round((Date.now() - started) / 1000) };
}

const VTD = { GSTS: 0x1c, FSTS: 0x34 } as const;
const SMMU = { CR0ACK: 0x24, EVENTQ_PROD: 0x1_00a8, EVENTQ_CONS: 0x1_00ac } as const;

function stateOf({ bridge }: BridgeServer, isX86: boolean): UnitState {
  const read = (offset: number) => Number(bridge.unit.read(offset, 4));
  if (isX86) return { status: read(VTD.GSTS), pending: (read(VTD.FSTS) & 2) !== 0 };
  return { status: read(SMMU.CR0ACK), pending: read(SMMU.EVENTQ_PROD) !== read(SMMU.EVENTQ_CONS) };
}

/** QEMU until it ends, line by line; politely, as it takes what processor it gets. */
async function runMachine(server: BridgeServer, hear: (line: string) => void): Promise<void> {
  const child = spawn("nice", ["-n", "10", ...server.command], { stdio: ["ignore", "pipe", "pipe"] });
  let partial = "";
  let errors = "";
  child.stdout.setEncoding("utf8");
  child.stdout.on("data", (text: string) => {
    const lines = `${partial}${text}`.split(/\r?\n/);
    partial = lines.pop() ?? "";
    for (const line of lines) hear(line);
  });
  child.stderr.on("data", (text: Buffer) => {
    errors = `${errors}${text}`.slice(-2000);
  });
  const timer = setTimeout(() => child.kill("SIGKILL"), PATIENCE);
  const ended = new Promise<number | string>((resolve, reject) => {
    child.once("error", reject);
    child.once("close", (code, signal) => resolve(code ?? signal ?? ""));
  });
  const code = await Promise.race([ended, server.failed]).finally(() => clearTimeout(timer));
  if (code !== 0) throw new Error(`QEMU ended with ${code}\n${errors}`);
}
