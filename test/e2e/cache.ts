/** Where what the end-to-end tests need is kept, between runs. */
import { homedir } from "node:os";
import { join } from "node:path";

const base = process.env.XDG_CACHE_HOME || join(homedir(), ".cache");

/** All of it; may be deleted at any time, the next run makes it anew. */
export const CACHE = join(base, "iommulator", "e2e");
/** Debian, with QEMU and the compilers. */
export const ROOT = join(CACHE, "root");
/** Programs of the root that run outside it. */
export const BIN = join(CACHE, "bin");

export const ARCHITECTURES = ["amd64", "arm64"] as const;
export type Architecture = (typeof ARCHITECTURES)[number];

/** QEMU's name for it. */
export const MACHINES: Readonly<Record<Architecture, string>> = { amd64: "x86_64", arm64: "aarch64" };

export const qemu = (architecture: Architecture): string => join(BIN, `qemu-system-${MACHINES[architecture]}`);
/** Folder with an unpacked kernel, its headers and modules; the file `release` there has its name. */
export const kernel = (architecture: Architecture): string => join(CACHE, `kernel-${architecture}`);
