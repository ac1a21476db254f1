/** Which bits a unit's capabilities make reserved, VT-d chapter 9: told as the walk holds them. */
import { describe, expect, it } from "vitest";
import { loadCapture } from "../../src/capture/node/files.ts";
import { vtdState } from "../../src/capture/state.ts";
import { VtdWalker } from "../../src/index.ts";

const RESERVED = new Set(["LRT.3", "LCT.3", "SRT.3", "SCT.3", "SPD.3", "SPT.3", "SFS.3", "SSS.3", "LSS.2"]);

describe("reserved bits by capability, VT-d chapter 9", () => {
  it.each(["A-vtd-sva", "A-vtd-sl", "A-vtd-fl", "A-vtd-legacy"])(
    "%s: a walk fails for a flipped bit just where that bit is told to be reserved",
    (name) => {
      const capture = loadCapture(`test/captures/${name}.json`);
      const memory = capture.pages.memory();
      const walker = new VtdWalker(memory, vtdState(capture.registers));
      const row = capture.expected.find(({ ok }) => ok);
      if (!row) throw new Error(`${name} has no translation`);
      const request = { sid: row.sid, pasid: row.pasid, address: row.iova, access: row.access, probe: true };
      const { steps, outcome } = walker.trace(request);
      expect(outcome.ok).toBe(true);
      let flipped = 0;
      for (const step of steps) {
        if (!walker.reservedBits(step)) continue;
        // Devices 00 to 0f use the lower half of a scalable root entry only.
        const bits = step.structure === "scalable root entry" ? 64 : step.words.length * 64;
        for (let bit = 0; bit < bits; bit++) {
          const at = step.address + BigInt(bit >> 6) * 8n;
          const word = step.words[bit >> 6] as bigint;
          const mask = 1n << BigInt(bit & 63);
          const words = step.words.map((old, i) => (i === bit >> 6 ? word ^ mask : old));
          const entry = { ...step, words };
          memory.write64(at, word ^ mask);
          const last = walker
            .trace(request)
            .steps.find(({ address, structure }) => address === step.address && structure === step.structure);
          memory.write64(at, word);
          const failed = last?.checks.find((check) => check.failed)?.id;
          const told =
            walker.reservedBits(entry)?.some((ones, i) => ones & (words[i] as bigint)) ||
            walker.unsupportedFields(entry).includes("DID");
          const where = `${step.structure} bit ${bit}: ${failed}`;
          if (failed !== undefined && RESERVED.has(failed)) expect(told, where).toBe(true);
          // A bit that also takes the entry or its rights away is found out earlier.
          else if (told) expect(failed, where).toMatch(/^S(RT|CT|PD|PT|FS|SS)\.2$|^LCT\.2$/);
          flipped++;
        }
      }
      expect(flipped).toBeGreaterThan(300);
    },
  );
});
