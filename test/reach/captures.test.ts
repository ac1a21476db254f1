/** Tables that real Linux kernels wrote: every recorded translation is in the map, and no recorded fault is. */
import { readdirSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { loadCapture } from "../../src/capture/node/files.ts";
import { openReach } from "../../src/capture/reach.ts";
import { hex } from "../../src/check.ts";
import { dmaMap } from "../../src/reach/map.ts";
import { whoCan } from "../../src/reach/who.ts";
import { CAPTURES } from "../cli/run.ts";
import { answer, type Listing } from "../support/reach.ts";

const names = readdirSync(CAPTURES).filter((name) => name.endsWith(".json"));

describe("maps of captures", () => {
  it.each(names)("%s: holds all recorded translations and none of the faults", (name) => {
    const capture = loadCapture(`${CAPTURES}${name}`);
    const { survey, enumerator } = openReach(capture);
    const map = dmaMap(survey, enumerator);
    const listings = new Map<number, Listing>();
    for (const { space, from, to, repeats, totals } of map.spaces) {
      const runs = Array.from({ length: to - from }, (_, i) => map.runs.at(from + i));
      listings.set(space.number, { runs, repeats, totals });
    }
    const vtd = capture.iommu === "vtd";
    const wrong: string[] = [];
    for (const { sid, pasid, iova, access, ok, gpa } of capture.expected) {
      const requesters = survey.requesters.find(({ sids }) => sids === undefined || sids.includes(sid));
      const grant = requesters?.grants.find((one) => one.pasid === pasid);
      const found = grant && answer(listings.get(grant.space?.number ?? 0), grant, iova, access, false, vtd);
      if (found !== (ok ? gpa : undefined)) wrong.push(`${hex(sid)} ${pasid} ${hex(iova)} ${access}: ${found}`);
    }
    expect(wrong).toEqual([]);
    expect(capture.expected.length).toBeGreaterThan(10);
  });

  it.each(["A-vtd-sva.json", "A-smmu-sva.json"])("%s: who can write names every recorded write to a page", (name) => {
    const capture = loadCapture(`${CAPTURES}${name}`);
    const writes = capture.expected.filter(({ ok, access, pasid }) => ok && access === "w" && pasid !== null);
    const { survey, enumerator } = openReach(capture);
    for (const { sid, pasid, iova, gpa = 0n } of writes.slice(0, 8)) {
      const { hits } = whoCan(survey, enumerator, "w", { address: gpa, bytes: 1n });
      const mine = hits.filter(
        ({ requesters, grant }) => survey.requesters[requesters]?.sids?.includes(sid) && grant.pasid === pasid,
      );
      expect(mine.map(({ input }) => input)).toContain(iova);
      for (const { output, bytes } of hits) expect([output, bytes]).toEqual([gpa, 1n]);
    }
    expect(writes.length).toBeGreaterThan(8);
  });
});
