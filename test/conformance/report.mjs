/**
 * `npm run conformance`: which points of the conformance checklists are met.
 *
 * Runs every test file that names a point, and counts by the ids that start the tests' titles (several tests may carry
 * one id, one test several). A point passes when all of its tests do. Points in the tables of deviations.md are met in
 * another way than they are worded.
 *
 * `--json` prints one object: {"vtd": {"total", "passed", "deviating", "missing", "failed", "ids"}, ...}.
 * Exit code 1 when a point is missing or has failed.
 */
import { spawnSync } from "node:child_process";
import { mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

const ROOT = fileURLToPath(new URL("../..", import.meta.url));
const CHECKLISTS = [
  { key: "vtd", name: "VT-d", prefix: "VTD", total: 115 },
  { key: "smmuv3", name: "SMMUv3", prefix: "SMMU", total: 90 },
  { key: "ioasid", name: "IOASID", prefix: "IOASID", total: 70 },
];
const ID = /(?:VTD|SMMU|IOASID)-\d{3}/;
const LEADING_IDS = new RegExp(`^${ID.source}(?:(?:, | and )${ID.source})*`);

/** Test files that name a point, relative to the root. */
function filesWithIds() {
  return readdirSync(join(ROOT, "test"), { recursive: true, encoding: "utf8" })
    .filter((name) => name.endsWith(".test.ts"))
    .map((name) => join("test", name))
    .filter((path) => ID.test(readFileSync(join(ROOT, path), "utf8")));
}

/** Titles of all tests and whether they passed. */
function runTests(files) {
  const folder = mkdtempSync(join(tmpdir(), "conformance-"));
  const output = join(folder, "report.json");
  const vitest = join(createRequire(import.meta.url).resolve("vitest/package.json"), "../vitest.mjs");
  const node = (...args) => spawnSync(process.execPath, args, { cwd: ROOT, stdio: ["ignore", "ignore", "inherit"] });
  try {
    if (node("assembly/build.mjs").status !== 0) throw new Error("the Wasm core does not build");
    node(vitest, "run", "--reporter=json", `--outputFile=${output}`, ...files);
    const report = JSON.parse(readFileSync(output, "utf8"));
    return report.testResults.flatMap(({ assertionResults }) =>
      assertionResults.map(({ title, status }) => ({ title, passed: status === "passed" })),
    );
  } finally {
    rmSync(folder, { recursive: true });
  }
}

/** Ids and reasons in the tables of deviations.md. */
function deviations() {
  const text = readFileSync(join(ROOT, "test/conformance/deviations.md"), "utf8");
  const rows = text.matchAll(new RegExp(`^\\|\\s*(${ID.source})\\s*\\|\\s*(.*?)\\s*\\|\\s*$`, "gm"));
  return new Map([...rows].map(([, id, reason]) => [id, reason]));
}

function summarize({ prefix, total }, results, deviating) {
  const ids = { deviating: {}, missing: [], failed: [] };
  let passed = 0;
  for (let i = 1; i <= total; i++) {
    const id = `${prefix}-${String(i).padStart(3, "0")}`;
    const outcomes = results.get(id) ?? [];
    if (outcomes.includes(false)) ids.failed.push(id);
    else if (deviating.has(id)) ids.deviating[id] = deviating.get(id);
    else if (outcomes.length === 0) ids.missing.push(id);
    else passed++;
  }
  return {
    total,
    passed,
    deviating: Object.keys(ids.deviating).length,
    missing: ids.missing.length,
    failed: ids.failed.length,
    ids,
  };
}

const results = new Map();
for (const { title, passed } of runTests(filesWithIds())) {
  for (const id of LEADING_IDS.exec(title)?.[0].match(new RegExp(ID, "g")) ?? []) {
    results.set(id, [...(results.get(id) ?? []), passed]);
  }
}
const deviating = deviations();
const summary = Object.fromEntries(CHECKLISTS.map((list) => [list.key, summarize(list, results, deviating)]));

if (process.argv.includes("--json")) {
  console.log(JSON.stringify(summary));
} else {
  console.log("checklist  points  passed  deviating  missing  failed");
  for (const { key, name } of CHECKLISTS) {
    const { total, passed, deviating: other, missing, failed } = summary[key];
    const columns = [
      [total, 7],
      [passed, 8],
      [other, 11],
      [missing, 9],
      [failed, 8],
    ];
    console.log(name.padEnd(10) + columns.map(([value, width]) => String(value).padStart(width)).join(""));
  }
  for (const { key } of CHECKLISTS) {
    const { missing, failed, deviating: reasons } = summary[key].ids;
    if (failed.length > 0) console.log(`\nfailed: ${failed.join(" ")}`);
    if (missing.length > 0) console.log(`\nno test: ${missing.join(" ")}`);
    for (const [id, reason] of Object.entries(reasons)) console.log(`\n${id} deviates: ${reason}`);
  }
}
process.exitCode = Object.values(summary).some(({ missing, failed }) => missing + failed > 0) ? 1 : 0;
