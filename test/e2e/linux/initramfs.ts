/** The virtual machine's first file system: busybox, the kernel's modules, and the programs of `guest/`. */
import { copyFileSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { gzipSync } from "node:zlib";
import { type Architecture, CACHE, kernel, ROOT } from "../cache.ts";
import { run } from "../shell.ts";

/** What user space needs for DMA through the kernel's own IOMMU domain. */
const WANTED = ["vfio_iommu_type1", "vfio-pci"];
/** The bridge cannot remap interrupts, without which vfio asks to be told that this is known. */
const ARGUMENTS: Readonly<Record<string, string>> = { vfio_iommu_type1: "allow_unsafe_interrupts=1" };
const COMPILERS: Readonly<Record<Architecture, string>> = { amd64: "gcc", arm64: "aarch64-linux-gnu-gcc" };
/** Sources; tests are compiled elsewhere, and run from the project's folder. */
const GUEST = join(process.cwd(), "test/e2e/linux/guest");
/** The same folder inside and outside of the root. */
const WORK = "/var/lib/iommulator";

const S_IFREG = 0o100000;
const S_IFDIR = 0o040000;
const RUNNABLE = 0o755;

export function makeInitramfs(architecture: Architecture): string {
  const work = join(ROOT, WORK);
  mkdirSync(work, { recursive: true });
  const archive = new Archive();
  for (const folder of ["bin", "modules", "proc", "sys", "dev"]) archive.folder(folder);
  archive.file("init", readFileSync(join(GUEST, "init")));
  archive.file("bin/busybox", readFileSync(join(kernel(architecture), "usr/bin/busybox")));
  archive.file("bin/dma", readFileSync(compile(architecture, work)));
  const modules = kernelModules(architecture);
  for (const { name, bytes } of modules) archive.file(`modules/${name}.ko`, bytes);
  archive.file("modules/order", Buffer.from(modules.map(({ name }) => `${name} ${ARGUMENTS[name] ?? ""}\n`).join("")));
  if (offersSva(architecture)) archive.file("modules/sva.ko", readFileSync(buildSva(architecture, work)));
  const path = join(CACHE, `initramfs-${architecture}.gz`);
  writeFileSync(path, gzipSync(archive.end(), { level: 1 }));
  return path;
}

/** Whether the packaged kernel was built to share address spaces with devices of our units. */
export function offersSva(architecture: Architecture): boolean {
  if (architecture === "amd64") return config(architecture).includes("CONFIG_INTEL_IOMMU_SVM=y");
  return config(architecture).includes("CONFIG_ARM_SMMU_V3_SVA=y");
}

function config(architecture: Architecture): string {
  return readFileSync(join(kernel(architecture), "usr/lib/modules", release(architecture), "config"), "utf8");
}

export function release(architecture: Architecture): string {
  return readFileSync(join(kernel(architecture), "release"), "utf8");
}

function compile(architecture: Architecture, work: string): string {
  const name = `dma-${architecture}`;
  copyFileSync(join(GUEST, "dma.c"), join(work, "dma.c"));
  run("chroot", [
    ROOT,
    COMPILERS[architecture],
    "-static",
    "-O2",
    "-Wall",
    "-o",
    join(WORK, name),
    join(WORK, "dma.c"),
  ]);
  return join(work, name);
}

/** Built against the packaged headers; objtool looks into /proc. */
function buildSva(architecture: Architecture, work: string): string {
  const folder = join(work, `sva-${architecture}`);
  rmSync(folder, { recursive: true, force: true });
  mkdirSync(folder, { recursive: true });
  copyFileSync(join(GUEST, "sva.c"), join(folder, "sva.c"));
  writeFileSync(join(folder, "Makefile"), "obj-m := sva.o\n");
  const headers = `/usr/src/linux-headers-${release(architecture)}`;
  const make = `make -C '${headers}' M='${WORK}/sva-${architecture}' CONFIG_DEBUG_INFO_BTF_MODULES= modules`;
  run("unshare", ["-m", "sh", "-c", `mount -t proc proc '${ROOT}/proc' && chroot '${ROOT}' ${make}`]);
  return join(folder, "sva.ko");
}

/** The wanted modules and what they need, those first. */
function kernelModules(architecture: Architecture): { name: string; bytes: Buffer }[] {
  const folder = join(kernel(architecture), "usr/lib/modules", release(architecture), "kernel");
  const files = new Map<string, string>();
  for (const entry of readdirSync(folder, { recursive: true, encoding: "utf8" })) {
    const name = /([^/]+)\.ko\.xz$/.exec(entry)?.[1];
    if (name !== undefined) files.set(name.replaceAll("-", "_"), join(folder, entry));
  }
  const ordered: { name: string; bytes: Buffer }[] = [];
  const add = (wanted: string): void => {
    const name = wanted.replaceAll("-", "_");
    const file = files.get(name);
    if (file === undefined || ordered.some((one) => one.name === name)) return;
    const bytes = unpack(file);
    for (const needed of dependencies(bytes)) add(needed);
    ordered.push({ name, bytes });
  };
  for (const name of WANTED) add(name);
  return ordered;
}

function unpack(file: string): Buffer {
  const plain = join(CACHE, "module.ko");
  run(join(ROOT, "bin/busybox"), ["sh", "-c", `'${ROOT}/bin/busybox' xzcat '${file}' > '${plain}'`]);
  const bytes = readFileSync(plain);
  rmSync(plain);
  return bytes;
}

/** The "depends=" string of a module. */
function dependencies(module: Buffer): string[] {
  const key = Buffer.from("\0depends=");
  const at = module.indexOf(key);
  if (at < 0) return [];
  const from = at + key.length;
  return module.toString("latin1", from, module.indexOf(0, from)).split(",").filter(Boolean);
}

const ALIGN = 4;

/** A cpio archive in the "newc" format (the kernel's Documentation/driver-api/early-userspace/buffer-format.rst). */
class Archive {
  readonly #parts: Buffer[] = [];
  #count = 0;

  file(path: string, content: Uint8Array): void {
    this.#add(path, S_IFREG | RUNNABLE, content);
  }

  folder(path: string): void {
    this.#add(path, S_IFDIR | RUNNABLE, Buffer.alloc(0));
  }

  end(): Buffer {
    this.#add("TRAILER!!!", 0, Buffer.alloc(0));
    return Buffer.concat(this.#parts);
  }

  #add(path: string, mode: number, content: Uint8Array): void {
    const fields = [++this.#count, mode, 0, 0, 1, 0, content.length, 0, 0, 0, 0, path.length + 1, 0];
    const header = `070701${fields.map((field) => field.toString(16).padStart(8, "0")).join("")}${path}\0`;
    this.#parts.push(padded(Buffer.from(header, "latin1")), padded(Buffer.from(content)));
  }
}

function padded(bytes: Buffer): Buffer {
  return Buffer.concat([bytes, Buffer.alloc((ALIGN - (bytes.length % ALIGN)) % ALIGN)]);
}
