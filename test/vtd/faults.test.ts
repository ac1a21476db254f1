/** Every fault reason that a walk can raise, with the answer the device gets and whether it is recorded. */
import { describe, expect, it } from "vitest";
import type { Outcome, Request } from "../../src/index.ts";
import { LEGACY, legacyGuest } from "../support/vtd-faults/legacy.ts";
import { FIRST_STAGE, HOST_PERMISSIONS, NESTED_STAGES, OUTPUTS, SECOND_STAGE } from "../support/vtd-faults/pages.ts";
import { type Broken, bit, clear, type Row, set } from "../support/vtd-faults/row.ts";
import { CONTEXTS, PASIDS } from "../support/vtd-faults/scalable.ts";
import { FIRST, NESTED, type ScalableGuest, SID, scalableGuest, VtdGuest } from "../support/vtd-guest.ts";

const FPD = 1;
const TYPES = ["untranslated", "translation", "translated"] as const;

/** Raises the fault with each kind of request it is for, without and with FPD = 1 in the context entry. */
function raise<G extends Broken>(row: Row<G>, make: (row: Row<G>) => G): void {
  row.answers.split(" ").forEach((answer, i) => {
    if (answer === "-") return;
    for (const fpd of [false, true]) {
      const g = make(row);
      const request: Partial<Request> = { ...row.arrange(g), type: TYPES[i] as (typeof TYPES)[number] };
      if (fpd) set(g, g.context, FPD);
      const outcome: Outcome = g.guest.walk(request);
      expect(outcome).toMatchObject({
        ok: false,
        code: row.code,
        check: row.check,
        answer: answer === "s0" ? "success" : answer,
        recorded: answer !== "s0" && !(fpd && row.qualified),
      });
    }
  });
}

const named = <G extends Broken>(rows: readonly Row<G>[]) =>
  rows.map((row) => [`${row.check} -> ${row.code.toString(16).padStart(2, "0")}h`, row] as const);
const scalable = (row: Row<ScalableGuest>) => scalableGuest(row.options, row.context);

describe("Fault conditions, VT-d 7.1", () => {
  it.each(named(LEGACY))("legacy mode: %s", (_, row) => raise(row, () => legacyGuest(row.options, row.context)));
  it.each(named(CONTEXTS))("root and context: %s", (_, row) => raise(row, scalable));
  it.each(named(PASIDS))("PASID structures: %s", (_, row) => raise(row, scalable));
  it.each(named(FIRST_STAGE))("first stage: %s", (_, row) => raise(row, scalable));
  it.each(named(SECOND_STAGE))("second stage: %s", (_, row) => raise(row, scalable));
  it.each(named(NESTED_STAGES))("nested: %s", (_, row) => raise(row, scalable));
  it.each(named(OUTPUTS))("outputs: %s", (_, row) => raise(row, scalable));
  it.each(named(HOST_PERMISSIONS))("host permissions: %s", (_, row) => raise(row, scalable));

  it("FPD in the PASID directory entry or the PASID entry silences what is found at or below it", () => {
    for (const where of ["directory", "entry"]) {
      const g = scalableGuest();
      const { guest, entry, leaf } = g;
      clear(g, leaf[FIRST] as bigint, 0);
      expect(guest.walk({ pasid: FIRST })).toMatchObject({ code: 0x71, recorded: true });
      set(g, where === "entry" ? (entry[FIRST] as bigint) : guest.tables.directoryEntry(SID, FIRST), FPD);
      expect(guest.walk({ pasid: FIRST })).toMatchObject({ code: 0x71, recorded: false, answer: "ur" });
      clear(g, entry[FIRST] as bigint, 0);
      expect(guest.walk({ pasid: FIRST })).toMatchObject({ code: 0x59, recorded: false });
    }
  });

  it("SFS.10 -> 91h, SSS.6 -> 7Dh: an entry that can be read but not marked; 91h is recorded even for ATS", () => {
    const bytes = new Uint8Array(1 << 22);
    let writable = true;
    const host = {
      read(address: bigint, into: Uint8Array) {
        into.set(bytes.subarray(Number(address), Number(address) + into.length));
        return true;
      },
      write(address: bigint, from: Uint8Array) {
        if (writable) bytes.set(from, Number(address));
        return writable;
      },
    };
    const { guest, entry } = scalableGuest({ host });
    guest.change(entry[2] as bigint, 0n, bit(9)); // SSADE of the second-stage PASID
    writable = false;
    expect(guest.walk({ pasid: FIRST })).toMatchObject({ code: 0x91, answer: "ur", recorded: true });
    const translation = guest.walk({ pasid: FIRST, type: "translation" });
    expect(translation).toMatchObject({ code: 0x91, answer: "success", recorded: true });
    expect(guest.walk({ pasid: 2 })).toMatchObject({ code: 0x7d, answer: "ur", recorded: true });
    expect(guest.walk({ pasid: 2, type: "translation" })).toMatchObject({ code: 0x7d, answer: "ca", recorded: true });
  });

  it("page requests end at the PASID entry: 32h in legacy mode, 47h without PRE, else PGTT and DID", () => {
    const { PAGE_REQUEST, PASID } = { PAGE_REQUEST: 1 << 11, PASID: 1 << 4 };
    const legacy = new VtdGuest({ mode: "legacy" });
    expect(legacy.walker.walk(SID, 0, 0x1000, 0, PAGE_REQUEST)).toBe(0x32);
    const without = scalableGuest({}, { PRE: 0 }).guest.walker;
    expect(without.walk(SID, 0, 0x1000, 0, PAGE_REQUEST)).toBe(0x47);
    const { guest, entry } = scalableGuest();
    expect(guest.walker.walk(SID, NESTED, 0x1000, 0, PAGE_REQUEST | PASID)).toBe(0);
    expect(guest.memory.core.view.getUint32(guest.walker.result.ptr + 20, true)).toBe((NESTED << 16) | 5);
    guest.change(entry[NESTED] as bigint, bit(0));
    expect(guest.walker.walk(SID, NESTED, 0x1000, 0, PAGE_REQUEST | PASID)).toBe(0x59);
  });

  it("IR.29h: FEEx_xxxxh takes dword writes as interrupts, zero-length reads, and nothing else", () => {
    const guest = new VtdGuest({ state: { interruptRemapping: true } });
    const at = { address: 0xfee0_1000n };
    expect(guest.walk({ ...at, access: "w", dword: true })).toMatchObject({ ok: true, answer: "interrupt" });
    expect(guest.walk({ ...at, zeroLength: true })).toMatchObject({ ok: true, answer: "success", bypass: true });
    for (const access of ["r", "w", "a"] as const) {
      expect(guest.walk({ ...at, access })).toMatchObject({ code: 0x29, answer: "ur", recorded: true });
    }
    guest.configure({ interruptRemapping: false });
    expect(guest.walk(at)).toMatchObject({ ok: false, code: 0, answer: "ur", recorded: false });
  });

  it("without translation: untranslated requests pass, all others are refused without a record", () => {
    const guest = new VtdGuest({ state: { translationEnabled: false } });
    expect(guest.walk({ pasid: 5 })).toMatchObject({ ok: true, address: 0x1000n, bypass: true });
    for (const type of ["translation", "translated"] as const) {
      expect(guest.walk({ type })).toMatchObject({ ok: false, code: 0, answer: "ur", recorded: false });
    }
  });
});
