/** A line on standard error that says how far long work is: on a terminal only, and not before a second. */
import type { MapProgress } from "../reach/map.ts";
import type { Io } from "./io.ts";

const PATIENCE_MS = 1000;
const BETWEEN_MS = 100;
const BAR = 24;

/** @param done what is said once the work is finished, which clears the line */
export function progressLine(io: Io): MapProgress & { done(): void } {
  const started = Date.now();
  let shown = 0;
  let text = "";
  let number = 0;
  let of = 0;
  let before = 0;
  let here = 0;
  const draw = () => {
    const now = Date.now();
    if (!io.live || now - started < PATIENCE_MS || now - shown < BETWEEN_MS) return;
    shown = now;
    const full = Math.round((BAR * (number - 1)) / Math.max(1, of));
    const bar = `${"#".repeat(full)}${".".repeat(BAR - full)}`;
    const millions = ((before + here) / 1e6).toFixed(1);
    const line = `[${bar}] address space ${number} of ${of}, ${millions} million entries`;
    io.err(`\r${line.padEnd(text.length)}`);
    text = line;
  };
  return {
    space(next, all) {
      before += here;
      here = 0;
      number = next;
      of = all;
      draw();
    },
    entries(count) {
      here = count;
      draw();
    },
    done() {
      if (text !== "") io.err(`\r${" ".repeat(text.length)}\r`);
    },
  };
}
