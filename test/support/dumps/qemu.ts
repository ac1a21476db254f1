/** QEMU, where it is installed: a machine that never runs, with memory of our making. */
import { spawn, spawnSync } from "node:child_process";

const QEMU = "qemu-system-x86_64";

export const qemuInstalled: boolean = spawnSync(QEMU, ["--version"]).status === 0;

export type DumpFormat = "elf" | "kdump-zlib";

/** Starts a stopped machine whose memory is the file, dumps it in each format, and ends it. */
export async function dumpGuestMemory(
  ram: string,
  mib: number,
  dumps: readonly (readonly [DumpFormat, string])[],
): Promise<void> {
  const memory = `memory-backend-file,id=ram,size=${mib}M,mem-path=${ram},share=on`;
  const machine = ["-M", "q35,memory-backend=ram", "-m", `${mib}M`, "-object", memory];
  const qemu = spawn(QEMU, ["-S", "-display", "none", "-nodefaults", "-qmp", "stdio", ...machine], {
    stdio: ["pipe", "pipe", "inherit"],
  });
  const commands = [
    { execute: "qmp_capabilities" },
    ...dumps.map(([format, path]) => ({
      execute: "dump-guest-memory",
      arguments: { paging: false, protocol: `file:${path}`, format },
    })),
    { execute: "quit" },
  ];
  let output = "";
  qemu.stdout.setEncoding("utf8");
  qemu.stdout.on("data", (text: string) => {
    output += text;
  });
  for (const command of commands) qemu.stdin.write(`${JSON.stringify(command)}\n`);
  const code = await new Promise<number | null>((done) => qemu.on("exit", done));
  if (code !== 0 || output.includes('"error"')) throw new Error(`QEMU: ${code}\n${output}`);
}
