/** Event records, byte for byte. Golden words are put together from the bits in Linux's driver and IHI 0070 7.3. */
import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { decodeSmmuEvent, encodeSmmuEvent, type SmmuEvent } from "../../src/smmuv3/index.ts";

const SID = 5;
/** Word 0: StreamID, number; with a SubstreamID that and SSV. */
const head = (number: bigint, ssid?: bigint): bigint =>
  (BigInt(SID) << 32n) | number | (ssid === undefined ? 0n : (ssid << 12n) | 0x800n);
const READ = 1n << 35n;
const INSTRUCTION = 1n << 34n;
const PRIVILEGED = 1n << 33n;
const STAGE2 = 1n << 39n;
const CLASS_TT = 1n << 40n;
const TABLE_READ = 1n << 44n;
const MAX = 0xffff_ffff_ffff_ffffn;

describe("event records, IHI 0070 7.3", () => {
  /** Everything that any record could hold, all at once. */
  const full: Omit<SmmuEvent, "number"> = {
    StreamID: SID,
    SubstreamID: 0x12345,
    Stall: true,
    STAG: 0xabcd,
    PnU: true,
    InD: true,
    RnW: true,
    S2: true,
    CLASS: 1,
    TTRnW: true,
    InputAddr: MAX,
    IPA: MAX,
    FetchAddr: MAX,
    Reason: 0x7fff,
    Span: 9,
    Read: true,
    Write: true,
    Exec: true,
    Priv: true,
    uR: true,
    uW: true,
    uX: true,
    pR: true,
    pW: true,
    pX: true,
  };
  const IPA = 0x000f_ffff_ffff_f000n;
  const FETCH = 0x000f_ffff_ffff_fff8n;
  const ALL = PRIVILEGED | INSTRUCTION | READ;
  const faulted = 0x8000_abcdn | ALL | STAGE2 | CLASS_TT;
  const golden: [string, number, [bigint, bigint, bigint, bigint]][] = [
    ["F_UUT", 0x01, [head(0x01n, 0x12345n), 0x7fffn | ALL, MAX, 0n]],
    ["C_BAD_STREAMID", 0x02, [head(0x02n, 0x12345n), 0n, 0n, 0n]],
    ["F_STE_FETCH", 0x03, [head(0x03n, 0x12345n), 0x7fffn, 0n, FETCH]],
    ["C_BAD_STE", 0x04, [head(0x04n, 0x12345n), 0n, 0n, 0n]],
    ["F_BAD_ATS_TREQ", 0x05, [head(0x05n, 0x12345n), 0xf000_0009n, MAX & ~0xfffn, 0n]],
    ["F_STREAM_DISABLED", 0x06, [head(0x06n), 0n, 0n, 0n]],
    ["F_TRANSL_FORBIDDEN", 0x07, [head(0x07n), READ, MAX, 0n]],
    ["C_BAD_SUBSTREAMID", 0x08, [head(0x08n) | (0x12345n << 12n), 0n, 0n, 0n]],
    ["F_CD_FETCH", 0x09, [head(0x09n, 0x12345n), 0x7fffn, 0n, FETCH]],
    ["C_BAD_CD", 0x0a, [head(0x0an, 0x12345n), 0n, 0n, 0n]],
    ["F_WALK_EABT", 0x0b, [head(0x0bn, 0x12345n), 0x7fffn | ALL | STAGE2 | CLASS_TT, MAX, FETCH]],
    ["F_TRANSLATION", 0x10, [head(0x10n, 0x12345n), faulted, MAX, IPA]],
    ["F_ADDR_SIZE", 0x11, [head(0x11n, 0x12345n), faulted, MAX, IPA]],
    ["F_ACCESS", 0x12, [head(0x12n, 0x12345n), faulted, MAX, IPA]],
    ["F_PERMISSION", 0x13, [head(0x13n, 0x12345n), faulted | TABLE_READ, MAX, IPA]],
    ["F_TLB_CONFLICT", 0x20, [head(0x20n, 0x12345n), 0x7fffn | ALL | STAGE2, MAX, IPA]],
    ["F_CFG_CONFLICT", 0x21, [head(0x21n, 0x12345n), 0x7fffn, 0n, 0n]],
    ["E_PAGE_REQUEST", 0x24, [head(0x24n, 0x12345n), (7n << 33n) | (7n << 37n) | (9n << 44n), MAX & ~0xfffn, 0n]],
    ["F_VMS_FETCH", 0x25, [head(0x25n, 0x12345n), 0x7fffn, 0n, FETCH]],
  ];
  it.each(golden)("SMMU-071 %s", (_, number, words) => {
    expect(encodeSmmuEvent({ ...full, number })).toEqual(words);
    const decoded = decodeSmmuEvent(words) as SmmuEvent;
    expect(decoded.number).toBe(number);
    expect(encodeSmmuEvent(decoded)).toEqual(words);
  });

  it("of a real machine are understood and written back as they were", () => {
    const events = ["A-smmu-s1", "A-smmu-sva-linear"].flatMap((name) => {
      const path = new URL(`../captures/${name}.json`, import.meta.url);
      const { events_before_pause } = JSON.parse(readFileSync(path, "utf8")) as {
        events_before_pause: { raw: string[] }[];
      };
      return events_before_pause.map(({ raw }) => raw.map(BigInt));
    });
    const faults = events.filter(([word]) => (word as bigint) % 256n >= 0x10n);
    expect(faults.length).toBeGreaterThan(40);
    for (const words of faults) expect(encodeSmmuEvent(decodeSmmuEvent(words) as SmmuEvent)).toEqual(words);
  });

  it("other numbers are no events", () => {
    expect(decodeSmmuEvent([0x30n, 0n, 0n, 0n])).toBeUndefined();
    expect(() => encodeSmmuEvent({ number: 0xe0, StreamID: 0 })).toThrow(/number: 224 is no event/);
  });
});
