/** QEMU, where it is installed: a machine that never runs, with memory of our making. */
import { spawnSync } from "node:child_process";
import { Qmp } from "./qmp.ts";

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
  const qmp = await Qmp.start(QEMU, ["-S", "-display", "none", "-nodefaults", ...machine]);
  for (const [format, path] of dumps) await qmp.dump(path, format);
  await qmp.quit();
}
