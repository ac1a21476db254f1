/** What is looked for in a kernel's log is not found in a log without it. */
import { describe, expect, it } from "vitest";
import type { Boot } from "./linux/boot.ts";
import { MACHINES } from "./linux/machines.ts";

const NOTHING: Boot = { lines: [], states: new Map(), log: "", seconds: 0 };
const UNMAPPED = [
  "DMAR: [DMA Read NO_PASID] Request device [0000:00:06.0] fault addr 0x30003000 [fault reason 0x71] SM: Present bit",
  "e2e: code of unmapped: 0x71",
];

describe("checks of booted machines", () => {
  it.each(MACHINES)("$name: none is met by an empty log", ({ checks }) => {
    expect(checks.filter(([, seen]) => seen(NOTHING)).map(([what]) => what)).toEqual([]);
  });

  it("a fault counts with its own reason, address and device only", () => {
    const check = MACHINES[0]?.checks.find(([what]) => what.startsWith("kernel logs unmapped"));
    const met = (lines: string[]) => check?.[1]({ ...NOTHING, lines });
    expect(met(UNMAPPED)).toBe(true);
    for (const [from, to] of [
      ["0x71]", "0x70]"],
      ["0x30003000", "0x30004000"],
      ["00:06.0", "00:07.0"],
      ["DMA Read", "DMA Write"],
      ["unmapped: 0x71", "unmapped: 0x70"],
    ] as const) {
      expect(met(UNMAPPED.map((line) => line.replace(from, to)))).toBe(false);
    }
  });
});
