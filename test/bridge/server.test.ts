/** Sockets, files and programs that are not as they should be: one line, and nothing left behind. */
import {
  chmodSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
  truncateSync,
  unlinkSync,
  writeFileSync,
} from "node:fs";
import { createServer } from "node:net";
import { join } from "node:path";
import { describe, expect, it, onTestFinished } from "vitest";
import { BridgeServer } from "../../src/bridge/node/serve.ts";
import { FunctionServer } from "../../src/bridge/node/server.ts";
import { run } from "../cli/run.ts";
import { bridgeRig, RAM_BYTES, temporaryFolder, VTD } from "../support/bridge-rig.ts";
import { CMD, message, pack, VfioClient, version } from "../support/vfio-client.ts";

const BAR0 = 0;

/** Options of a server in a folder of its own. */
function options(folder: string, more: Partial<Parameters<typeof BridgeServer.open>[0]> = {}) {
  return {
    unit: VTD,
    caches: "none" as const,
    devices: 1,
    ram: join(folder, "ram"),
    memory: RAM_BYTES,
    folder,
    machine: {},
    log: () => {},
    ...more,
  };
}

describe("sockets", () => {
  it("are there while it serves, and gone with all other files after", async () => {
    const folder = temporaryFolder();
    const server = await BridgeServer.open(options(folder, { devices: 2 }));
    expect(readdirSync(folder).sort()).toEqual([
      "dma0.sock",
      "dma1.sock",
      "dmar.bin",
      "iommu.rom",
      "iommu.sock",
      "ram",
    ]);
    const client = await VfioClient.open(join(folder, "dma1.sock"));
    await server.close();
    await client.closed;
    expect(readdirSync(folder)).toEqual([]);
  });

  it("that a dead server left are replaced", async () => {
    const folder = temporaryFolder();
    const path = join(folder, "iommu.sock");
    // A socket file without anyone behind it: bound, and moved away before its server could remove it.
    const dead = createServer();
    await new Promise<void>((resolve) => dead.listen(join(folder, "x"), resolve));
    renameSync(join(folder, "x"), path);
    await new Promise((resolve) => dead.close(resolve));
    expect(statSync(path).isSocket()).toBe(true);
    const server = await BridgeServer.open(options(folder));
    await (await VfioClient.open(path)).close();
    await server.close();
  });

  it("that another server has are refused, and it stays", async () => {
    const rig = await bridgeRig();
    await expect(BridgeServer.open(options(rig.folder))).rejects.toThrow(
      /iommu\.sock: another server listens here; stop it, or use another --sockets$/,
    );
    const client = await rig.client(rig.iommu);
    expect(await client.read32(BAR0, 0)).toBe(0x70);
  });

  it.each([
    ["a file", (path: string) => writeFileSync(path, "precious")],
    ["a folder", (path: string) => mkdirSync(path)],
    ["a link", (path: string) => symlinkSync("/nowhere", path)],
  ])("%s in a socket's place is refused and kept", async (_, make) => {
    const folder = temporaryFolder();
    const path = join(folder, "dma0.sock");
    make(path);
    await expect(BridgeServer.open(options(folder))).rejects.toThrow(/dma0\.sock: exists and is no socket; remove it/);
    expect(readdirSync(folder)).toEqual(["dma0.sock"]);
  });

  it("with a path of 108 bytes or more are refused: no system takes them", async () => {
    const folder = join(temporaryFolder(), "x".repeat(100));
    await expect(BridgeServer.open(options(folder, { ram: join(folder, "..", "ram") }))).rejects.toThrow(
      /a socket's path has at most 107 bytes, this one \d+; use a shorter --sockets/,
    );
    expect(existsSync(folder) ? readdirSync(folder) : []).toEqual([]);
  });

  it("in a folder that cannot be made are refused", async () => {
    const folder = temporaryFolder();
    writeFileSync(join(folder, "file"), "");
    await expect(
      BridgeServer.open(options(join(folder, "file", "sockets"), { ram: join(folder, "ram") })),
    ).rejects.toThrow(/cannot be written to \(ENOTDIR\); use another --sockets/);
  });

  it("that vanish are noticed", async () => {
    const rig = await bridgeRig();
    unlinkSync(rig.iommu);
    await expect(rig.server.failed).rejects.toThrow(/iommu\.sock: the socket has vanished; start over/);
  });
});

describe("clients that hang", () => {
  async function impatient() {
    const rig = await bridgeRig();
    const log: string[] = [];
    const path = join(rig.folder, "impatient.sock");
    const server = await FunctionServer.listen({
      path,
      target: rig.server.bridge.iommu,
      handshakeMilliseconds: 50,
      log: (line) => log.push(line),
    });
    onTestFinished(() => server.close());
    return { path, log };
  }

  it("without a word lose their place to the next", async () => {
    const { path, log } = await impatient();
    const silent = await VfioClient.connect(path);
    const next = await VfioClient.open(path);
    await silent.closed;
    expect(log).toEqual(["iommu: client closed: it said nothing"]);
    // Who has said hello may think as long as it likes.
    await new Promise((resolve) => setTimeout(resolve, 100));
    expect(await next.read32(BAR0, 0)).toBe(0x70);
    await next.close();
  });

  it("beyond the four that may wait are turned away", async () => {
    const rig = await bridgeRig();
    await rig.client(rig.iommu);
    const waiting = await Promise.all(Array.from({ length: 4 }, () => VfioClient.connect(rig.iommu)));
    const fifth = await VfioClient.connect(rig.iommu);
    await fifth.closed;
    await Promise.all(waiting.map((client) => client.close()));
  });

  it("and never read their answers do not fill memory: they are not read from either", async () => {
    const rig = await bridgeRig();
    const client = await rig.client(rig.iommu);
    client.socket.pause();
    const read = message(1, CMD.REGION_READ, pack(0n, BAR0, 4096));
    const flood = Buffer.concat(Array.from({ length: 1000 }, () => read));
    // 160 MB of answers are asked for. Most of the questions must stay on this side.
    for (let i = 0; i < 40; i++) client.socket.write(flood);
    await new Promise((resolve) => setTimeout(resolve, 300));
    expect(client.socket.writableLength).toBeGreaterThan(500_000);
    await client.close();
    await (await rig.client(rig.iommu)).read32(BAR0, 0);
  });

  it("a client that asks for much at once gets it all, in order", async () => {
    const rig = await bridgeRig();
    const client = await rig.client(rig.dma);
    const whole = pack(0n, BAR0, 0x20000);
    const replies = await Promise.all(Array.from({ length: 300 }, () => client.call(CMD.REGION_READ, whole)));
    expect(replies.every(({ errno, payload }) => errno === 0 && payload.length === 16 + 0x20000)).toBe(true);
    expect(rig.log).toEqual([]);
  });

  it("a client that never reads its interrupts is dropped in the end", async () => {
    const rig = await bridgeRig();
    const client = await rig.client(rig.iommu);
    client.socket.pause();
    const data = new Uint8Array(1024 * 1024);
    for (let i = 0; i < 20; i++) rig.server.bridge.iommu.bus?.write(0xfee0_0000n, data);
    expect(rig.log).toEqual(["iommu: client closed: it does not read what it is sent"]);
    client.socket.resume();
    await client.closed;
  });

  it("a machine that refuses interrupts is told of once", async () => {
    const rig = await bridgeRig();
    const client = await rig.client(rig.iommu);
    client.writeErrno = 14;
    for (let i = 0; i < 3; i++) rig.server.bridge.iommu.bus?.write(0xfee0_0000n, new Uint8Array(4));
    await client.written(3);
    await client.read32(BAR0, 0);
    expect(rig.log).toEqual(["iommu: the machine refused a write to 0xfee00000 (errno 14): is bus mastering on?"]);
  });
});

describe("the RAM file", () => {
  it("is made with its size, for its owner only, and goes with the server", async () => {
    const folder = temporaryFolder();
    const server = await BridgeServer.open(options(folder));
    const { size, mode } = statSync(join(folder, "ram"));
    expect([size, mode & 0o777]).toEqual([RAM_BYTES, 0o600]);
    await server.close();
    expect(readdirSync(folder)).toEqual([]);
  });

  it("that was there stays", async () => {
    const folder = temporaryFolder();
    writeFileSync(join(folder, "ram"), "");
    truncateSync(join(folder, "ram"), RAM_BYTES);
    await (await BridgeServer.open(options(folder))).close();
    expect(statSync(join(folder, "ram")).size).toBe(RAM_BYTES);
  });

  it("of another size is refused, and not touched", async () => {
    const folder = temporaryFolder();
    writeFileSync(join(folder, "ram"), "precious");
    await expect(BridgeServer.open(options(folder))).rejects.toThrow(
      /ram: has 8 bytes where guest RAM has 67108864; remove it, or give --memory its size$/,
    );
    expect(readdirSync(folder)).toEqual(["ram"]);
    expect(statSync(join(folder, "ram")).size).toBe(8);
  });

  it.each([
    ["a folder", (folder: string) => folder, /EISDIR/],
    ["in no folder", (folder: string) => join(folder, "none", "ram"), /ENOENT/],
  ])("that is %s is refused", async (_, path, code) => {
    const folder = temporaryFolder();
    const opening = BridgeServer.open(options(folder, { ram: path(folder) }));
    await expect(opening).rejects.toThrow(code);
    await expect(opening).rejects.toThrow(/cannot be opened for guest RAM/);
    expect(readdirSync(folder)).toEqual([]);
  });

  it("a device file is refused", async () => {
    const folder = temporaryFolder();
    await expect(BridgeServer.open(options(folder, { ram: "/dev/null" }))).rejects.toThrow(/is no regular file/);
  });

  it("never grows by what a unit writes beyond its end", async () => {
    const rig = await bridgeRig();
    const client = await rig.client(rig.iommu);
    await client.map(0n, BigInt(RAM_BYTES) * 2n, 0n);
    expect(rig.server.bridge.ram.write(BigInt(RAM_BYTES), new Uint8Array(8))).toBe(false);
    expect(rig.server.bridge.ram.read(BigInt(RAM_BYTES) - 4n, new Uint8Array(8))).toBe(false);
    expect(statSync(rig.ram).size).toBe(RAM_BYTES);
  });

  it("that shrinks ends the server with one line", async () => {
    const rig = await bridgeRig();
    const client = await rig.client(rig.iommu);
    await client.map(0n, BigInt(RAM_BYTES), 0n);
    truncateSync(rig.ram, 4096);
    expect(rig.server.bridge.ram.read(0n, new Uint8Array(8))).toBe(true);
    expect(rig.server.bridge.ram.read(8192n, new Uint8Array(8))).toBe(false);
    await expect(rig.server.failed).rejects.toThrow(
      /ram: shrank from 67108864 to 4096 bytes while it was guest RAM; stop the machine and start over with a new file$/,
    );
  });
});

/** A program that answers like a QEMU. */
function fakeQemu(folder: string, script: string): string {
  const path = join(folder, "qemu");
  writeFileSync(path, `#!/bin/sh\n${script}\n`);
  chmodSync(path, 0o755);
  return path;
}

const GOOD = `case "$*" in
*--version*) echo "QEMU emulator version 11.1.3"; exit 0;;
*vfio-user-pci,help*) echo "  socket=<SocketAddress>"; echo "  x-msg-timeout=<uint32>"; exit 0;;
esac`;

describe("iommulator vfio-user", () => {
  async function serve(argv: string[], folder = temporaryFolder()) {
    const ram = join(folder, "ram");
    const sockets = join(folder, "sockets");
    const result = await run(["vfio-user", ...argv, "--ram", ram, "--memory", "64M", "--sockets", sockets]);
    const left = existsSync(sockets) ? readdirSync(sockets) : [];
    return { ...result, left, folder };
  }

  it("--run starts QEMU on the sockets, ends with it, and leaves nothing", async () => {
    const folder = temporaryFolder();
    const qemu = fakeQemu(folder, `${GOOD}\nls ${folder}/sockets > ${folder}/seen\necho "$@" > ${folder}/argv`);
    const { code, err, left } = await serve(["--vtd", "--run", "--qemu", qemu], folder);
    expect([code, err, left]).toEqual([0, "", []]);
    expect(readFileSync(join(folder, "seen"), "utf8")).toBe("dma0.sock\ndmar.bin\niommu.rom\niommu.sock\n");
    expect(readFileSync(join(folder, "argv"), "utf8")).toContain(`mem-path=${folder}/ram`);
  });

  it.each([
    [
      ["--run", "--qemu", "/nonexistent/qemu"],
      /^iommulator vfio-user: \/nonexistent\/qemu: is not installed; install QEMU \(version 11\.1 or newer is needed\), or give its place with --qemu\n$/,
    ],
    [["--run", "--qemu", "/"], /cannot be run \(EACCES\)/],
  ])("%j: exit 3 and one line", async (argv, line) => {
    const { code, err, out, left } = await serve(["--vtd", ...argv]);
    expect(err).toMatch(line);
    expect([code, out, left, err.trim().split("\n").length]).toEqual([3, "", [], 1]);
  });

  it.each([
    [
      "without vfio-user",
      'echo "QEMU emulator version 9.2.4"',
      /QEMU 9\.2\.4 has no device "vfio-user-pci"; version 11\.1 or newer is needed/,
    ],
    [
      "with an early vfio-user",
      'echo "QEMU emulator version 10.1.0"; echo "  socket=<SocketAddress>"',
      /QEMU 10\.1\.0 has an old device "vfio-user-pci"/,
    ],
    ["that ends badly", `${GOOD}\nexit 7`, /ended with code 7/],
    ["that dies of a signal", `${GOOD}\nkill -9 $$`, /ended with code 1/],
  ])("a QEMU %s: exit 3, one line, no sockets", async (_, script, line) => {
    const folder = temporaryFolder();
    const { code, err, left } = await serve(["--vtd", "--run", "--qemu", fakeQemu(folder, script)], folder);
    expect(err).toMatch(line);
    expect([code, left, err.trim().split("\n").length]).toEqual([3, [], 1]);
  });

  it("SMMUv3 without a device tree of its machine: exit 3 and one line", async () => {
    const folder = temporaryFolder();
    const { code, err, left } = await serve(
      ["--smmuv3", "--qemu", fakeQemu(folder, `${GOOD}\necho sorry >&2`)],
      folder,
    );
    expect([code, left]).toEqual([3, []]);
    expect(err).toMatch(/made no device tree of its machine: sorry\n$/);
  });

  it("a dtb that is none: exit 3 and one line", async () => {
    const folder = temporaryFolder();
    writeFileSync(join(folder, "dtb"), "no tree");
    const { code, err, left } = await serve(["--smmuv3", "--dtb", join(folder, "dtb")], folder);
    expect([code, left, err]).toEqual([3, [], "iommulator vfio-user: device tree: no device tree\n"]);
  });

  it.each([
    [[], "give one of --vtd and --smmuv3"],
    [["--vtd", "--smmuv3"], "give one of --vtd and --smmuv3"],
    [["--vtd", "pentium"], '--vtd: "pentium" is not one of qemu, qemu-scalable'],
    [["--smmuv3", "x"], '--smmuv3: "x" is not one of qemu, gem5'],
    [["--vtd", "--devices", "9"], '--devices: "9" is not a number in 0..8'],
    [["--vtd", "--caches", "all"], '--caches: "all" is not one of none, sized, retain'],
    [["--vtd", "--memory", "12"], '--memory: "12" is not a size such as 512M or 4G'],
    [["--vtd", "--memory", "1M"], '--memory: "1M" is not a size'],
  ])("%j: exit 2 and the accepted form", async (argv, line) => {
    const { code, err } = await run(["vfio-user", "--ram", "/nonexistent/ram", ...argv]);
    expect(code).toBe(2);
    expect(err).toContain(`iommulator vfio-user: ${line}`);
    expect(err).toContain("usage: iommulator vfio-user --vtd [PRESET]");
  });

  it("--ram is asked for", async () => {
    const { code, err } = await run(["vfio-user", "--vtd"]);
    expect([code, err.split("\n")[0]]).toEqual([
      2,
      "iommulator vfio-user: --ram is missing: a file for the guest's RAM",
    ]);
  });

  it("--print: a command line to paste, with what comes behind --", async () => {
    const argv = ["vfio-user", "--vtd", "--ram", "/tmp/a,b c", "--devices", "2", "--print"];
    const { code, out } = await run([...argv, "--kernel", "bzImage", "--", "-smp", "2"]);
    expect(code).toBe(0);
    expect(out).toContain("'memory-backend-file,id=ram,size=1024M,share=on,mem-path=/tmp/a,,b c'");
    expect(out).toContain('"addr":"7","socket":{"type":"unix","path":"SOCKETS/dma1.sock"}');
    expect(out).toContain("-kernel bzImage");
    expect(out).toMatch(/-smp 2\n$/);
    const json = JSON.parse((await run([...argv, "--json"])).out) as { sockets: string[]; qemu: string[] };
    expect(json.sockets).toEqual(["SOCKETS/iommu.sock", "SOCKETS/dma0.sock", "SOCKETS/dma1.sock"]);
    expect(json.qemu[0]).toBe("qemu-system-x86_64");
  });
});

describe("streams of a version message", () => {
  it("a client that dies before, while and after it negotiates is no trouble", async () => {
    const rig = await bridgeRig();
    const hello = message(1, CMD.VERSION, version());
    for (const bytes of [0, 1, 15, 16, 20, hello.length]) {
      const client = await VfioClient.connect(rig.iommu);
      client.socket.write(hello.subarray(0, bytes));
      await client.close();
    }
    expect(await (await rig.client(rig.iommu)).read32(BAR0, 0)).toBe(0x70);
    rmSync(rig.ram);
    expect(rig.log).toEqual([]);
  });
});
