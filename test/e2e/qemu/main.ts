/** `npm run e2e -- qemu [SEED] [REQUESTS] [VENDOR]`: the same random scripts for QEMU's units and ours. */
import { Misuse } from "../shell.ts";
import { Report } from "./report.ts";
import { compareSmmu } from "./smmu.ts";
import { compareVtd } from "./vtd.ts";

const REQUESTS = 24_000;
const VENDORS = { vtd: compareVtd, smmuv3: compareSmmu };
const SHOWN = Number(process.env.SHOWN ?? 5);

/** @returns whether nothing is unexplained */
export async function compareWithQemu(args: readonly string[], say: (line: string) => void): Promise<boolean> {
  const seed = count("SEED", args[0], (Date.now() ^ 0x5eed) >>> 0);
  const requests = count("REQUESTS", args[1], REQUESTS);
  const vendors = Object.entries(VENDORS).filter(([name]) => args[2] === undefined || args[2] === name);
  if (vendors.length === 0) throw new Misuse(`VENDOR: "${args[2]}" is none of ${Object.keys(VENDORS).join(", ")}`);
  let good = true;
  for (const [name, compare] of vendors) {
    const report = new Report();
    const started = Date.now();
    await compare(seed, requests, report);
    say(`${name}, seed ${seed}, ${Math.round((Date.now() - started) / 1000)} s: ${report.lines().join("\n")}`);
    for (const one of report.unexplained.slice(0, SHOWN)) say(`unexplained: ${one}`);
    good &&= report.unexplained.length === 0;
  }
  return good;
}

/** @throws Misuse naming the argument */
function count(name: string, text: string | undefined, otherwise: number): number {
  if (text === undefined) return otherwise;
  if (/^\d{1,10}$/.test(text)) return Number(text);
  throw new Misuse(`${name}: "${text}" is not a whole number`);
}
