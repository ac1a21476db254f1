/** Captures with words changed at random: map and lint end, throw nothing, and what is listed translates. */
import * as fc from "fast-check";
import { describe, expect, it } from "vitest";
import { lintImage } from "../../src/capture/lint.ts";
import { openReach } from "../../src/capture/reach.ts";
import { openWalker } from "../../src/capture/state.ts";
import { dmaMap } from "../../src/reach/map.ts";
import { permissionsOf } from "../../src/reach/model.ts";
import { sharedMemory, tableWriters } from "../../src/reach/shared.ts";
import { inputParts } from "../../src/reach/who.ts";
import { Planted } from "../support/plant.ts";
import { runs, seed } from "../support/runs.ts";

const NAMES = ["A-vtd-sva", "A-vtd-sl", "A-vtd-legacy", "A-smmu-sva", "A-smmu-s2"];

/** Where, what kind of change, and bits for it. */
const change = fc.record({
  page: fc.nat(),
  word: fc.nat({ max: 511 }),
  kind: fc.constantFrom("flip", "write", "link"),
  bits: fc.bigInt({ min: 0n, max: (1n << 64n) - 1n }),
});

describe("mutated captures", () => {
  it.each(NAMES)("%s", (name) => {
    const addresses = new Planted(name).capture.pages.pages.map(({ gpa }) => gpa);
    const pick = (index: number) => addresses[index % addresses.length] as bigint;
    fc.assert(
      fc.property(fc.array(change, { minLength: 1, maxLength: 40 }), (changes) => {
        const planted = new Planted(name);
        for (const { page, word, kind, bits } of changes) {
          const at = pick(page) + 8n * BigInt(word);
          if (kind === "flip") planted.flip(at, 1n << (bits % 64n));
          else if (kind === "write") planted.write(at, bits);
          // An entry that leads to another table of the capture, or to its own.
          else planted.write(at, pick(Number(bits % 65536n)) | (bits % 4096n) | 3n);
        }
        const { capture } = planted;
        const walker = openWalker(capture);
        const { survey, enumerator } = openReach(capture);
        const map = dmaMap(survey, enumerator);
        sharedMemory(map);
        tableWriters(map);
        lintImage(capture);
        for (const { space, from, to, users } of map.spaces) {
          const user = users.find(({ grant }) => grant.privilege !== "privileged");
          if (!user || from === to) continue;
          const [run] = inputParts(map.runs.at(from + Math.floor((to - from) / 2)), user.grant, space);
          if (!run) continue;
          const { read, write } = permissionsOf(run.rights, user.grant).user ?? {};
          const sid = survey.requesters[user.requesters]?.sids?.[0] ?? 0;
          const request = { sid, pasid: user.grant.pasid, address: run.input, probe: true };
          if (read) expect(walker.translate(request)).toMatchObject({ ok: true, address: run.output });
          if (write) expect(walker.translate({ ...request, access: "w" })).toMatchObject({ address: run.output });
        }
      }),
      { numRuns: runs(12, 1000), seed },
    );
  });
});
