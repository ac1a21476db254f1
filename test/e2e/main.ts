/**
 * `npm run e2e`: the emulator against real software. `test/e2e/README.md` says what it does and needs.
 *
 *   npm run e2e              real kernels on our units, through vfio-user
 *   npm run e2e -- qemu      QEMU's own units and ours, through the same random scripts
 *   npm run e2e -- dumps     dumps that QEMU makes of kernels with its own IOMMUs
 *   npm run e2e -- setup     only what both need
 */
import { readDumps } from "./dumps.ts";
import { bootLinux } from "./linux/main.ts";
import { compareWithQemu } from "./qemu/main.ts";
import { setUp } from "./root.ts";
import { Misuse, Unavailable } from "./shell.ts";

const say = (line: string): void => void process.stdout.write(`${line}\n`);

/** Each says whether all was well. */
const VERBS: Readonly<Record<string, (args: readonly string[]) => Promise<boolean>>> = {
  setup: async () => true,
  linux: (args) => bootLinux(args, say),
  qemu: (args) => compareWithQemu(args, say),
  dumps: () => readDumps(say),
};

async function main(args: readonly string[]): Promise<number> {
  const [name = "linux", ...rest] = args;
  const verb = VERBS[name];
  if (!verb) {
    say(`unknown: ${name}; there are ${Object.keys(VERBS).join(", ")}`);
    return 2;
  }
  try {
    setUp(say);
  } catch (error) {
    if (!(error instanceof Unavailable)) throw error;
    say(`skipped: ${error.message}`);
    return 0;
  }
  try {
    return (await verb(rest)) ? 0 : 1;
  } catch (error) {
    if (!(error instanceof Misuse)) throw error;
    say(error.message);
    return 2;
  }
}

process.exitCode = await main(process.argv.slice(2));
