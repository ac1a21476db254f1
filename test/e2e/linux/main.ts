/** `npm run e2e [-- linux [NAME]]`: unmodified kernels on our units, through vfio-user. */
import { Misuse } from "../shell.ts";
import { boot } from "./boot.ts";
import { offersSva } from "./initramfs.ts";
import { MACHINES } from "./machines.ts";

/** What is worth a look in a log. */
const WORTH = /DMAR: dmar0: reg_base|Using Queued|iommu group|oas |\[DMA |event: F_|e2e: page requests/;

/** @returns whether all that was asked for was seen */
export async function bootLinux([wanted = ""]: readonly string[], say: (line: string) => void): Promise<boolean> {
  const machines = MACHINES.filter(({ name }) => name.includes(wanted));
  if (machines.length === 0) {
    throw new Misuse(`NAME: "${wanted}" is in none of ${MACHINES.map(({ name }) => name).join(", ")}`);
  }
  let good = true;
  for (const machine of machines) {
    const result = await boot(machine);
    const missing = machine.checks.filter(([, seen]) => !seen(result)).map(([what]) => what);
    say(
      `${machine.name}: ${machine.checks.length - missing.length} of ${machine.checks.length} seen, ${result.seconds} s, log in ${result.log}`,
    );
    for (const line of result.lines.filter((one) => WORTH.test(one))) say(`  ${line.replace(/^\[ *([\d.]+)\] /, "")}`);
    for (const what of missing) say(`  MISSING: ${what}`);
    if (!offersSva(machine.architecture))
      say("  not tried: sharing address spaces, which the packaged kernel is built without");
    good &&= missing.length === 0;
  }
  return good;
}
