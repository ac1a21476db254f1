import { readdirSync, readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { gunzipSync } from "node:zlib";
import { describe, expect, it } from "vitest";
import { parseTrace } from "../../src/capture/regtrace.ts";

const CAPTURES = fileURLToPath(new URL("../captures/", import.meta.url));

describe("parseTrace", () => {
  it("reads every kind of line", () => {
    const text = [
      { op: "read", off: "0x8", size: 8, value: "0x81d2008c222f0606" },
      { op: "write", off: "0x98", size: 4, value: "0x2", cmds: [["0x4", "0x1f"]] },
      { op: "inv", type: "wait", lo: "0x200000025", hi: "0x1222804" },
      { op: "fault", sid: 48, fault: 81, addr: "0x7f3a6b117000", write: 1, pasid: 5001 },
      {
        op: "event",
        type: "SMMU_EVT_F_TRANSLATION",
        sid: 48,
        ssid: 1,
        iova: "0x1000",
        raw: ["0x10", "0x0", "0x0", "0x0"],
      },
      { op: "prq", slot: 0, lo: "0x100300101", hi: "0x7f92f903b02e", lo2: 0, hi2: 0 },
      { op: "msi", addr: "0xfee00000", data: 33 },
      { op: "mark", text: "end" },
    ];
    const lines = parseTrace(text.map((line) => JSON.stringify(line)).join("\n"), "x");
    expect(lines).toMatchObject([
      { op: "read", line: 1, offset: 8, size: 8, value: 0x81d2008c222f0606n, commands: [] },
      { op: "write", offset: 0x98, value: 2n, commands: [[4n, 0x1fn]] },
      { op: "inv", words: [0x200000025n, 0x1222804n, 0n, 0n] },
      { op: "fault", sid: 48, pasid: 5001, address: 0x7f3a6b117000n, write: true, fault: 81 },
      { op: "event", type: "SMMU_EVT_F_TRANSLATION", pasid: 1, record: [16n, 0n, 0n, 0n] },
      { op: "prq", words: [0x100300101n, 0x7f92f903b02en, 0n, 0n] },
      { op: "msi", address: 0xfee00000n, data: 33 },
      { op: "mark", text: "end" },
    ]);
  });

  it.each([
    ['{"op":"jump"}', 'x: line 2: op: "jump" is not one of'],
    ['{"op":"read","off":"0x8","size":2,"value":"0x0"}', "x: line 2: size: 2 is neither 4 nor 8"],
    ['{"op":"read","off":"0x9","size":4,"value":"0x0"}', "x: line 2: off: not the offset of a register"],
    ['{"op":"write","off":"0x8","size":4,"value":"0x100000000"}', "x: line 2: value: "],
    ['{"op":"inv","lo":"12"}', 'x: line 2: lo: "12" is not'],
    ['{"op":"fault","sid":1,"addr":"0x0","write":1}', "x: line 2: fault: is missing"],
    ['{"op":"read"', "x: line 2: not JSON"],
  ])("names file and line: %s", (line, said) => {
    expect(() => parseTrace(`{"op":"mark","text":""}\n${line}\n`, "x")).toThrow(said);
  });

  it.each(readdirSync(CAPTURES).filter((name) => name.endsWith(".gz")))("takes all of %s", (name) => {
    const text = gunzipSync(readFileSync(CAPTURES + name)).toString();
    expect(parseTrace(text, name).length).toBe(text.trimEnd().split("\n").length);
  });
});
