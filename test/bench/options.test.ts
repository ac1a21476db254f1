/** What `npm run bench` does with its options, and with what it exits. Its clock is ours where time counts. */
import { execFileSync, spawnSync } from "node:child_process";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { Bar } from "../../bench/judge.ts";

const ROOT = fileURLToPath(new URL("../..", import.meta.url));
/** As deep as where `npm run bench` compiles to, and not there: that may be running. */
const COMPILED = join(ROOT, "build/bench-tested");
const KERNEL = "vtd first-stage walk, hot";
const LIBRARIES = ["iommu_ref_model/libiommu", "iommu_ref_model/libtables"];

const folder = mkdtempSync(join(tmpdir(), "iommulator-bench-tested-"));

beforeAll(() => {
  const tsc = join(ROOT, "node_modules/typescript/bin/tsc");
  execFileSync(process.execPath, [tsc, "-p", "bench/tsconfig.json", "--outDir", COMPILED], { cwd: ROOT });
});
afterAll(() => {
  for (const path of [folder, COMPILED]) rmSync(path, { recursive: true, force: true });
});

interface Run {
  status: number | null;
  stdout: string;
  stderr: string;
}

/** The bench with these options, on one quick kernel; `path` is where it finds compilers: nowhere unless told. */
function bench(options: string[], path = folder, node: string[] = []): Run {
  const args = [...node, join(COMPILED, "bench/run.js"), "--only", KERNEL, ...options];
  return spawnSync(process.execPath, args, { cwd: ROOT, env: { ...process.env, PATH: path }, encoding: "utf8" });
}

describe("bench --scaling", () => {
  it("has workers translate, one and as many as there are processors, with nothing but their rates to compare", () => {
    const { status, stdout, stderr } = bench(["--scaling", "--smoke"]);
    expect(stderr).toBe("");
    expect(status).toBe(0);
    expect(stdout).toContain("no C compiler (cc): the machine's own limit is not known");
    for (const row of ["workers, walks", "workers, through an IOTLB", "the same, 1000 invalidations/s"]) {
      expect(stdout).toMatch(new RegExp(`^  ${row} +[0-9.]+ +[0-9.]+  no ratio: of 5 rounds`, "m"));
    }
    expect(stdout).toMatch(/^ {2}memory that can be shared, batch +[0-9.]+ ns/m);
  });
});

describe("bench --check", () => {
  /** The bench with this bar alone, and a clock that a look at moves on by what `step` says of the look's number. */
  function withBar(bar: Bar, options: string[], step = "1"): Run {
    const preload = join(folder, "preload.mjs");
    const bars = pathToFileURL(join(COMPILED, "bench/bars.js"));
    writeFileSync(
      preload,
      `import { BARS } from "${bars}";
       BARS.splice(0, BARS.length, ${JSON.stringify(bar)});
       let [looks, user] = [0, 0];
       process.cpuUsage = () => {
         const look = looks++;
         user += 1000 * (${step});
         return { user, system: 0 };
       };`,
    );
    return bench(options, folder, ["--import", pathToFileURL(preload).href]);
  }
  const bar: Bar = { kernel: KERNEL, impl: "Wasm, batch", against: "Wasm, one call a walk", ratio: 1 };
  /** Samples of every length, and each round longer than the last. */
  const UNSTEADY = "look % 5 * look + 1";

  it("exits 0 when the bar is met, and 1 when it is missed", () => {
    const met = withBar(bar, ["--check"]);
    expect(met.stdout).toMatch(/^met {8}vtd first-stage walk, hot: Wasm, batch is 1\.00x ± 0 % of .*, bar 1\.00x$/m);
    expect(met.status).toBe(0);
    const missed = withBar({ ...bar, ratio: 0.99 }, ["--check"]);
    expect(missed.stdout).toMatch(/^missed {5}vtd first-stage walk, hot: Wasm, batch is 1\.00x .*, bar 0\.99x$/m);
    expect(missed.status).toBe(1);
  });

  it("decides nothing on rounds that disagree, and exits 2; the same without native C to compare with", () => {
    const unsteady = withBar({ ...bar, ratio: 0.01 }, ["--check"], UNSTEADY);
    expect(unsteady.stdout).toMatch(/^undecided {2}.*: rounds differ by ± \d+ %, more than 25 %$/m);
    expect(unsteady.stdout).not.toMatch(/is \d+\.\d+x/);
    expect(unsteady.status).toBe(2);
    const alone = withBar({ kernel: KERNEL, impl: "Wasm, batch", ratio: 100 }, ["--check"]);
    expect(alone.stdout).toMatch(/^undecided {2}.*: "native C" was not measured$/m);
    expect(alone.status).toBe(2);
  });

  it("exits 0 without --check, whatever is missed", () => {
    const { status, stdout } = withBar({ ...bar, ratio: 0.01 }, []);
    expect(stdout).toMatch(/^missed {5}/m);
    expect(status).toBe(0);
  });

  it("is refused with --smoke, whose one round decides nothing", () => {
    expect(bench(["--check", "--smoke"])).toMatchObject({ status: 64, stdout: "" });
  });
});

describe("bench --model", () => {
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
