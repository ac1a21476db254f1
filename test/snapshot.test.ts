import { describe, expect, it } from "vitest";
import { type Snapshot, seal, unseal } from "../src/snapshot.ts";

const CONFIGURATION = { cap: "0x1", options: { a: 1, b: [true, null] } };

describe("snapshots", () => {
  it("come back after JSON, in whatever order the names are", () => {
    const sealed = seal("vtd", CONFIGURATION, { registers: { A: "0x1" }, list: [1, 2] });
    const { state, ...rest } = JSON.parse(JSON.stringify(sealed));
    expect(unseal("vtd", CONFIGURATION, { state, ...rest })).toEqual({ registers: { A: "0x1" }, list: [1, 2] });
  });

  it.each<[string, (snapshot: Snapshot) => unknown, RegExp]>([
    ["something else", () => ({ hello: 1 }), /not a snapshot/],
    ["nothing", () => null, /not a snapshot/],
    ["another version", (snapshot) => ({ ...snapshot, version: 2 }), /version 2 is not 1/],
    ["a torn one", (snapshot) => ({ ...snapshot, state: { registers: {} } }), /torn/],
    ["another kind", () => seal("smmuv3", CONFIGURATION, 1), /of a smmuv3, not a vtd/],
    ["another configuration", () => seal("vtd", { ...CONFIGURATION, cap: "0x2" }, 1), /cap is "0x2", here "0x1"/],
    ["a configuration with more", () => seal("vtd", { ...CONFIGURATION, more: 1 }, 1), /more is 1, here null/],
  ])("refuse %s, saying why", (_, make, why) => {
    const snapshot = make(seal("vtd", CONFIGURATION, 1)) as Snapshot;
    expect(() => unseal("vtd", CONFIGURATION, snapshot)).toThrow(why);
  });
});
