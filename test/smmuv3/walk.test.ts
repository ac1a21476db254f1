/** One rule at a time: what each broken structure, register or request gives. Arm IHI 0070 3.4, 5, 7.3. */
import { describe, expect, it } from "vitest";
import { CD, L1CD, L1STD, PTE, PTE2, STE } from "../../assembly/layout/smmuv3.ts";
import { type Fault, GuestMemory, type Request, SmmuWalker } from "../../src/index.ts";
import { damage, fault, IPA, ok, PA, RAM, SERVER, type Setup, SID, VA, World } from "../support/smmu-world.ts";

describe("the plain walk", () => {
  it.each([
    [5, PA + 0x123n],
    [6, PA + 0x123n],
    [7, PA + 0x123n],
    [4, VA + 0x123n],
  ] as const)("Config %i gives the output address", (config, address) => {
    const outcome = ok(new World({ config }), { access: "w" });
    expect(outcome.address).toBe(address);
    expect(outcome.pageSize).toBe(config === 4 ? 1n << 64n : 4096n);
    expect(outcome.bypass).toBe(config === 4);
  });

  it.each([0, 6, 8, 10] as const)("stream table with SPLIT %i", (split) => {
    expect(ok(new World({ split })).address).toBe(PA + 0x123n);
  });

  it.each([
    [0, 6, 5],
    [1, 9, 0x155],
    [2, 20, 0xabcde],
  ] as const)("CD table of format %i with 2^%i CDs", (format, log2Cds, ssid) => {
    expect(ok(new World({ format, log2Cds, ssid }), { pasid: ssid }).address).toBe(PA + 0x123n);
    expect(
      ok(new World({ config: 7, format, log2Cds: Math.min(log2Cds, 14), ssid: ssid & 0x3fff }), {
        pasid: ssid & 0x3fff,
      }).address,
    ).toBe(PA + 0x123n);
  });
});

describe("events, IHI 0070 7.3", () => {
  const cases: [string, Setup, (world: World) => void, Partial<Fault>, Partial<Request>?][] = [
    ["C_BAD_STREAMID: beyond LOG2SIZE", {}, () => {}, { code: 2, recorded: true, check: "SID" }, { sid: 1024 }],
    ["C_BAD_STREAMID: RECINVSID = 0", { state: { cr2: 0 } }, () => {}, { code: 2, recorded: false }, { sid: 1024 }],
    ["C_BAD_STREAMID: Span = 0", {}, () => {}, { code: 2, check: "L1STD.Span" }, { sid: 0x223 }],
    [
      "C_BAD_STREAMID: Span beyond SPLIT + 1",
      {},
      (w) => damage(w, w.state.strtabBase + 8n, L1STD.Span, 10),
      { code: 2, check: "L1STD.Span" },
    ],
    [
      "C_BAD_STREAMID: index beyond Span",
      {},
      (w) => damage(w, w.state.strtabBase + 8n, L1STD.Span, 6),
      { code: 2, check: "L1STD.index" },
    ],
    ["F_STE_FETCH: L1STD", {}, (w) => w.memory.poison(w.state.strtabBase + 8n, 8), { code: 3, recorded: true }],
    ["F_STE_FETCH: STE", {}, (w) => w.memory.poison(w.ste + 56n, 8), { code: 3, check: "STE.fetch" }],
    ["C_BAD_STE: V = 0", {}, (w) => damage(w, w.ste, STE.V, 0), { code: 4, check: "STE.V", answer: "abort" }],
    ["no event: Config = 0b000", {}, (w) => damage(w, w.ste, STE.Config, 0), { code: 0, recorded: false }],
    ["no event: Config = 0b011", {}, (w) => damage(w, w.ste, STE.Config, 3), { code: 0, answer: "abort" }],
    ["F_STREAM_DISABLED: S1DSS = 0", { log2Cds: 4 }, () => {}, { code: 6, check: "SSID.missing" }],
    [
      "F_STREAM_DISABLED: SubstreamID 0, S1DSS = 2",
      { log2Cds: 4, ste: { S1DSS: 2 } },
      () => {},
      { code: 6, check: "SSID.zero" },
      { pasid: 0 },
    ],
    ["C_BAD_SUBSTREAMID: no substreams", {}, () => {}, { code: 8, check: "SSID.range" }, { pasid: 0 }],
    ["C_BAD_SUBSTREAMID: beyond the table", { log2Cds: 4 }, () => {}, { code: 8 }, { pasid: 16 }],
    ["C_BAD_SUBSTREAMID: no stage 1", { config: 6 }, () => {}, { code: 8, check: "SSID.none" }, { pasid: 1 }],
    [
      "C_BAD_SUBSTREAMID: L1CD.V = 0",
      { log2Cds: 16, format: 2, ssid: 5 },
      () => {},
      { code: 8, check: "L1CD.V" },
      { pasid: 2048 },
    ],
    [
      "C_BAD_SUBSTREAMID: L1CD.L2Ptr beyond OAS",
      { log2Cds: 16, format: 2, ssid: 5 },
      (w) => damage(w, w.cds.root, L1CD.L2Ptr, 1n << 36n),
      { code: 8, check: "L1CD.L2Ptr" },
      { pasid: 5 },
    ],
    ["F_CD_FETCH", {}, (w) => w.memory.poison(w.cd, 64), { code: 9, recorded: true }],
    ["C_BAD_CD: V = 0", {}, (w) => damage(w, w.cd, CD.V, 0), { code: 10, check: "CD.V" }],
    ["F_WALK_EABT: stage 1", {}, (w) => w.memory.poison(w.leaf1, 8), { code: 11, stage: 1, class: 1, recorded: true }],
    [
      "F_WALK_EABT: not stalled, not silenced",
      { cd: { S: 1, R: 0 } },
      (w) => w.memory.poison(w.leaf1, 8),
      { code: 11, answer: "abort", recorded: true },
    ],
    ["F_TRANSLATION: stage 1", {}, (w) => w.memory.write64(w.leaf1, 0n), { code: 16, stage: 1, class: 2, level: 3 }],
    ["F_TRANSLATION: beyond T0SZ", {}, () => {}, { code: 16, check: "input.size" }, { address: 1n << 48n }],
    ["F_TRANSLATION: EPD1", {}, () => {}, { code: 16, check: "input.EPD" }, { address: 0xffff_8000_0000_0000n }],
    [
      "F_ADDR_SIZE: leaf beyond IPS",
      { cd: { IPS: 0 }, leaf1: {} },
      (w) => damage(w, w.leaf1, PTE.ADDRESS, 1n << 24n),
      { code: 17, stage: 1 },
    ],
    [
      "F_ADDR_SIZE: bypass beyond OAS",
      { config: 4 },
      () => {},
      { code: 17, recorded: true, answer: "abort" },
      { address: 1n << 48n },
    ],
    ["F_ACCESS: AF = 0", { leaf1: { AF: 0 } }, () => {}, { code: 18, stage: 1, class: 2 }],
    ["F_PERMISSION: read only", { leaf1: { AP2: 1 } }, () => {}, { code: 19, stage: 1, class: 2 }, { access: "w" }],
    ["F_PERMISSION: unprivileged", { leaf1: { AP1: 0 } }, () => {}, { code: 19 }],
    [
      "F_TRANSLATION: stage 2 input range",
      { config: 6 },
      () => {},
      { code: 16, stage: 2, class: 2, ipa: 1n << 40n },
      { address: 1n << 40n },
    ],
    [
      "F_TRANSLATION: stage 2 leaf",
      { config: 7 },
      (w) => w.memory.write64(w.leaf2, 0n),
      { code: 16, stage: 2, class: 2, ipa: IPA + 0x123n },
    ],
    ["F_ACCESS: stage 2", { config: 7, leaf2: { AF: 0 } }, () => {}, { code: 18, stage: 2, class: 2 }],
    [
      "F_PERMISSION: stage 2",
      { config: 7, leaf2: { S2AP1: 0 } },
      () => {},
      { code: 19, stage: 2, class: 2 },
      { access: "w" },
    ],
    [
      "F_ADDR_SIZE: stage 2",
      { config: 7, ste: { S2PS: 0 }, leaf2: {} },
      (w) => damage(w, w.leaf2, PTE.ADDRESS, 1n << 24n),
      { code: 17, stage: 2 },
    ],
  ];
  it.each(cases)("%s", (_, setup, change, expected, request) => {
    const world = new World(setup);
    change(world);
    expect(fault(world, request)).toMatchObject({ answer: "abort", ...expected });
  });
});

describe("stage 2 on the way, IHI 0070 4.3 CLASS", () => {
  /** Where stage 2 maps the page that holds `at`. */
  const behind = (world: World, at: bigint) => world.second.descriptor(at + 0x1_0000_0000n) as bigint;
  it.each([
    ["the CD", (w: World) => w.cd, 0],
    ["a stage 1 descriptor", (w: World) => w.leaf1, 1],
  ] as const)("of %s: S2 = 1, the class and the IPA", (_, where, kind) => {
    const world = new World({ config: 7 });
    const at = where(world);
    world.memory.write64(behind(world, at), 0n);
    expect(fault(world)).toMatchObject({ code: 16, stage: 2, class: kind, ipa: at + 0x1_0000_0000n });
  });

  it("S2PTW = 1: tables of stage 1 in Device memory", () => {
    const world = new World({ config: 7, ste: { S2PTW: 1 } });
    const at = behind(world, world.leaf1);
    damage(world, at, PTE2.MemAttr, 1);
    expect(fault(world)).toMatchObject({ code: 19, stage: 2, class: 1, tableWrite: false });
  });

  it("a stall of stage 2 is S2S's, of stage 1 CD.S's", () => {
    const world = new World({ config: 7, ste: { S2S: 1 } });
    world.memory.write64(world.leaf2, 0n);
    expect(fault(world)).toMatchObject({ answer: "stall", recorded: true });
    world.memory.write64(world.leaf1, 0n);
    expect(fault(world)).toMatchObject({ answer: "abort", recorded: true, stage: 1 });
  });
});

describe("what the device gets, IHI 0070 5.5 (A, R, S)", () => {
  it.each([
    [{ S: 0, A: 1, R: 1 }, "abort", true],
    [{ S: 0, A: 1, R: 0 }, "abort", false],
    [{ S: 0, A: 0, R: 1 }, "raz-wi", true],
    [{ S: 0, A: 0, R: 0 }, "raz-wi", false],
    [{ S: 1, A: 0, R: 0 }, "stall", true],
  ] as const)("%o: %s, recorded %s", (cd, answer, recorded) => {
    const world = new World({ cd });
    world.memory.write64(world.leaf1, 0n);
    expect(fault(world)).toMatchObject({ code: 16, answer, recorded });
  });

  it("TERM_MODEL = 1 makes CD.A = 0 illegal", () => {
    const world = new World({ cd: { A: 0 }, state: { idr0: SERVER.idr0 | (1 << 26) } });
    expect(fault(world)).toMatchObject({ code: 10, check: "CD.A" });
  });
});

describe("substreams, IHI 0070 3.3.2", () => {
  const table = (s1dss: number, ssv: number | null) => {
    const world = new World({ log2Cds: 4, ste: { S1DSS: s1dss }, ssid: ssv ?? 0 });
    const outcome = world.walk({ pasid: ssv });
    return outcome.ok ? (outcome.bypass ? "bypass" : "CD") : outcome.name;
  };
  it.each([
    [0, null, "F_STREAM_DISABLED"],
    [3, null, "F_STREAM_DISABLED"],
    [1, null, "bypass"],
    [2, null, "CD"],
    [2, 0, "F_STREAM_DISABLED"],
    [0, 0, "CD"],
    [1, 0, "CD"],
    [3, 0, "CD"],
    [0, 15, "CD"],
    [2, 15, "CD"],
  ] as const)("S1DSS %i, SubstreamID %s: %s", (s1dss, ssid, result) => {
    expect(table(s1dss, ssid)).toBe(result);
  });
});

describe("where everything lies", () => {
  it("a trace names each entry, its words and checks", () => {
    const world = new World({ config: 7 });
    const { steps, outcome } = world.walker.trace({ sid: SID, address: VA });
    expect(outcome.ok).toBe(true);
    const names = steps.map(({ structure, stage, level }) => `${structure} ${stage}.${level}`);
    expect(names.slice(0, 6)).toEqual([
      "L1STD 0.0",
      "STE 0.1",
      "descriptor 2.1",
      "descriptor 2.2",
      "descriptor 2.3",
      "CD 0.0",
    ]);
    // four stage 1 levels behind three of stage 2, then the page itself
    expect(names.length).toBe(6 + 4 * 4 + 3);
    expect(steps[1]?.words.length).toBe(8);
    expect(steps.every(({ checks }) => checks.every(({ failed }) => !failed))).toBe(true);
  });

  it("all of it in memory that the host backs", () => {
    const world = new World({ config: 7 });
    const bytes = world.memory.readBytes(RAM, 0x100_0000);
    const reads: bigint[] = [];
    const host = {
      read(address: bigint, into: Uint8Array) {
        reads.push(address);
        into.set(bytes.subarray(Number(address - RAM), Number(address - RAM) + into.length));
        return true;
      },
      write: () => false,
    };
    const elsewhere = new World({ config: 7 }).walker.translate({ sid: SID, address: VA });
    const backed = hosted(world, host).translate({ sid: SID, address: VA });
    expect(backed).toEqual(elsewhere);
    expect(reads.length).toBeGreaterThan(20);
  });
});

function hosted(world: World, host: { read: (a: bigint, into: Uint8Array) => boolean; write: () => boolean }) {
  const memory = new GuestMemory({ ram: [{ base: RAM, size: 0x100_0000n, host }] });
  return new SmmuWalker(memory, world.state);
}
