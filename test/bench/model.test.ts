/** `npm run bench -- --model`: what it says when it cannot build the model, and that it is an error. */
import { execFileSync, spawnSync } from "node:child_process";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, describe, expect, it } from "vitest";

const ROOT = fileURLToPath(new URL("../..", import.meta.url));
const LIBRARIES = ["iommu_ref_model/libiommu", "iommu_ref_model/libtables"];

describe("bench --model", () => {
  const folder = mkdtempSync(join(tmpdir(), "iommulator-model-"));

  beforeAll(() => {
    execFileSync("node", [join(ROOT, "node_modules/typescript/bin/tsc"), "-p", "bench/tsconfig.json"], { cwd: ROOT });
  });
  afterAll(() => rmSync(folder, { recursive: true, force: true }));

  /** The bench with these options, on tiny data and one quick kernel; `path` is where it finds compilers. */
  function bench(options: string[], path = folder): { status: number | null; stdout: string; stderr: string } {
    const args = [join(ROOT, "build/bench/bench/run.js"), "--only", "first-stage walk, hot", ...options];
    return spawnSync(process.execPath, args, { cwd: ROOT, env: { ...process.env, PATH: path }, encoding: "utf8" });
  }

  /** A folder laid out as a checkout of the model, with nothing in it. */
  function checkout(name: string): string {
    const path = join(folder, name);
    for (const library of LIBRARIES) {
      for (const part of ["include", "src"]) mkdirSync(join(path, library, part), { recursive: true });
    }
    return path;
  }

  it("names the folder that a path lacks", () => {
    const nowhere = join(folder, "nowhere");
    const { status, stdout, stderr } = bench(["--smoke", "--model", nowhere]);
    expect(stderr).toContain(`--model: no ${join(nowhere, "iommu_ref_model/libiommu/include")}`);
    expect(status).toBe(64);
    expect(stdout).toBe("");

    const half = checkout("half");
    rmSync(join(half, "iommu_ref_model/libtables/src"), { recursive: true });
    expect(bench(["--smoke", "--model", half]).stderr).toContain(`no ${join(half, "iommu_ref_model/libtables/src")}`);
  });

  it("passes on what the compiler says, and that there is none", () => {
    const compilers = join(folder, "compilers");
    mkdirSync(compilers);
    writeFileSync(join(compilers, "cc"), "#!/bin/sh\necho iommu.h: No such file >&2\nexit 1\n", { mode: 0o755 });
    const empty = ["--smoke", "--model", checkout("empty")];
    expect(bench(empty, compilers)).toMatchObject({ status: 64, stderr: "--model: cc: iommu.h: No such file\n\n" });
    expect(bench(empty)).toMatchObject({ status: 64, stderr: "--model: no C compiler (cc) to build it with\n" });
  });

  it("is refused where nothing would be measured on it", () => {
    for (const other of ["--check", "--growth"]) {
      const refused = { status: 64, stdout: "", stderr: "--model: no bar and no growth is measured on it\n" };
      expect(bench([other, "--model", folder])).toEqual(expect.objectContaining(refused));
    }
  });

  it("adds no row when it is absent", () => {
    const { status, stdout } = bench(["--smoke"]);
    expect(status).toBe(0);
    expect(stdout).toContain("Wasm, batch");
    expect(stdout).not.toContain("RISC-V");
  });
});
