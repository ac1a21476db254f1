/** What kdump pages are compressed with that needs a library: zlib, which Node has, and zstd, which Node has from 22.15 on. */
import { createRequire } from "node:module";
import zlib from "node:zlib";
import type { Decompress as ZstdStream } from "fzstd";
import type { Unpack, Unpackers } from "../image/kdump.ts";
import { CorruptData } from "../image/snappy.ts";
import { InputError } from "../input.ts";

/** @param file what to call the dump in messages */
export function unpackers(file: string): Unpackers {
  let zstd: Unpack | undefined;
  return {
    zlib: (data, size) => corrupt(() => zlib.inflateSync(data, { maxOutputLength: size })),
    zstd: (data, size) => {
      zstd ??= findZstd();
      if (!zstd) {
        const ways = "use Node 22.15 or later, or install the package fzstd beside this one";
        throw new InputError(
          file,
          "",
          `compressed with zstd, which Node ${process.versions.node} cannot unpack: ${ways}`,
        );
      }
      const unpack = zstd;
      return corrupt(() => unpack(data, size));
    },
  };
}

function corrupt(unpack: () => Uint8Array): Uint8Array {
  try {
    return unpack();
  } catch (error) {
    throw new CorruptData((error as Error).message);
  }
}

type ZstdOfNode = (data: Uint8Array, options: { maxOutputLength: number }) => Uint8Array;

function findZstd(): Unpack | undefined {
  const own = (zlib as { zstdDecompressSync?: ZstdOfNode }).zstdDecompressSync;
  if (own) return (data, size) => own(data, { maxOutputLength: size });
  try {
    const { Decompress } = createRequire(import.meta.url)("fzstd") as typeof import("fzstd");
    return (data, size) => unpackBlocks(new Decompress(), data, size);
  } catch {
    return undefined;
  }
}

/** Block by block: a frame may lie about its size, and what is too much ends it. */
function unpackBlocks(stream: ZstdStream, data: Uint8Array, size: number): Uint8Array {
  const out = new Uint8Array(size);
  let done = 0;
  stream.ondata = (block) => {
    if (done + block.length > size) throw new CorruptData(`zstd: more than ${size} bytes`);
    out.set(block, done);
    done += block.length;
  };
  stream.push(data, true);
  return out.subarray(0, done);
}
