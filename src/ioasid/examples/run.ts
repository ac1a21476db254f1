/**
 * Runs the five usage scenarios of the IOASID layer: `npm run -s examples` in a fresh clone (after
 * `npm ci`). Each file beside this one is one scenario.
 */
import { guestAllocation } from "./guest-allocation.ts";
import { guestBind } from "./guest-bind.ts";
import { guestDetection } from "./guest-detection.ts";
import type { Print } from "./machine.ts";
import { nativeAllocation } from "./native-allocation.ts";
import { nativeBind } from "./native-bind.ts";

/** Neither Node nor the DOM is needed for more than this. */
declare const console: { log: Print };

const SCENARIOS: readonly [title: string, run: (print: Print) => void | Promise<void>][] = [
  ["1. Guest detection registers the virtual command allocator", guestDetection],
  ["2. Guests allocate through it", guestAllocation],
  ["3. Native allocation", nativeAllocation],
  ["4. Native bind, with data at allocation", nativeBind],
  ["5. Guest bind, with data set later", guestBind],
];

for (const [title, run] of SCENARIOS) {
  console.log(title);
  await run((line) => console.log(`   ${line}`));
}
