/** `npm run e2e -- qemu [SEED] [REQUESTS]`: the same random scripts for QEMU's units and ours. */
import { Report } from "./report.ts";
import { compareSmmu } from "./smmu.ts";
import { compareVtd } from "./vtd.ts";

const REQUESTS = 24_000;
const SHOWN = Number(process.env.SHOWN ?? 5);

/** @returns whether nothing is unexplained */
export async function compareWithQemu(args: readonly string[], say: (line: string) => void): Promise<boolean> {
  const seed = args[0] === undefined ? (Date.now() ^ 0x5eed) >>> 0 : Number(args[0]);
  const requests = args[1] === undefined ? REQUESTS : Number(args[1]);
  let good = true;
  const vendors = { "VT-d": compareVtd, SMMUv3: compareSmmu };
  for (const [name, compare] of Object.entries(vendors)) {
    if (args[2] !== undefined && args[2] !== name) continue;
    const report = new Report();
    const started = Date.now();
    await compare(seed, requests, report);
    say(`${name}, seed ${seed}, ${Math.round((Date.now() - started) / 1000)} s: ${report.lines().join("\n")}`);
    for (const one of report.unexplained.slice(0, SHOWN)) say(`unexplained: ${one}`);
    good &&= report.unexplained.length === 0;
  }
  return good;
}
