/** Registers out of what a live machine prints, one unit or several, and what is said when they are missing. */
import { describe, expect, it } from "vitest";
import { readRegisterText } from "../../../src/capture/image/register-text.ts";
import { chooseUnit, MissingRegisters, type UnitChoice } from "../../../src/capture/image/unit.ts";
import { InputError } from "../../../src/capture/input.ts";

/** Columns as drivers/iommu/intel/debugfs.c prints them. */
const REGSET = `IOMMU: dmar0 Register Base Address: fed90000
Name\t\t\tOffset\t\tContents
VER             \t0x00\t\t0x0000000000000010
GSTS            \t0x1c\t\t0x00000000c7000000
FEDATA          \t0x3c\t\t0x0000000000004021
CAP             \t0x08\t\t0x00d2008c40660462
ECAP            \t0x10\t\t0x0000000000f050da
RTADDR          \t0x20\t\t0x0000000102a3b400

IOMMU: dmar1 Register Base Address: fed91000
Name\t\t\tOffset\t\tContents
CAP             \t0x08\t\t0x00d2008c40660462
ECAP            \t0x10\t\t0x0000000000f050da
RTADDR          \t0x20\t\t0x0000000102a3c000
`;

const BOOT = `[    0.020001] DMAR: Host address width 39
[    0.020002] DMAR: DRHD base: 0x000000fed90000 flags: 0x0
[    0.020003] DMAR: dmar0: reg_base_addr fed90000 ver 4:0 cap 1c0000c40660462 ecap 29a00f0505e
`;

const SYSFS = `/sys/class/iommu/dmar0/intel-iommu/cap:1c0000c40660462
/sys/class/iommu/dmar0/intel-iommu/ecap:29a00f0505e
/sys/class/iommu/dmar0/intel-iommu/version:4:0
`;

/** What QEMU's monitor answers to xp /16xw and xp /8xg. */
const XP = `00000000fed90000: 0x00000010 0x00000000 0x40660462 0x00d2008c
00000000fed90010: 0x00f050da 0x00000000 0x00000000 0xc7000000
00000000fed90020: 0x02a3b400 0x00000001 0x00000000 0x00000000
`;
const XP_GIANT = `00000000fed90000: 0x0000000000000010 0x00d2008c40660462
00000000fed90010: 0x0000000000f050da 0xc700000000000000
00000000fed90020: 0x0000000102a3b400 0x0000000000000000
`;

const unit = (text: string, choice: UnitChoice = {}) => chooseUnit("dump", readRegisterText(text, "regs.txt"), choice);

function refusal(act: () => unknown): InputError {
  try {
    act();
  } catch (error) {
    if (error instanceof InputError) return error;
    throw error;
  }
  throw new Error("accepted");
}

describe("registers as text", () => {
  it("iommu_regset: the unit that is chosen", () => {
    const { iommu, registers } = unit(REGSET, { unit: "dmar0" });
    expect(iommu).toBe("vtd");
    expect(registers.read32(0x0)).toBe(0x10);
    expect(registers.read64(0x8)).toBe(0xd2008c40660462n);
    expect(registers.read64(0x10)).toBe(0xf050dan);
    expect(registers.read32(0x1c)).toBe(0xc7000000);
    expect(registers.read64(0x20)).toBe(0x102a3b400n);
    expect(registers.source(0x20)).toBe("iommu_regset in regs.txt");
    expect(unit(REGSET, { unit: "dmar1" }).registers.read64(0x20)).toBe(0x102a3c000n);
  });

  it("several units need a choice, and one that is there", () => {
    expect(refusal(() => unit(REGSET)).message).toBe("dump: several units, dmar0, dmar1: choose one with --unit");
    expect(refusal(() => unit(REGSET, { unit: "dmar7" })).message).toBe('dump: no unit "dmar7" (dmar0, dmar1)');
    expect(refusal(() => unit("CAP 1\n", { unit: "dmar0" })).message).toBe('dump: no unit "dmar0" (none is named)');
  });

  it.each([
    ["CR LF", REGSET.replaceAll("\n", "\r\n")],
    ["quoted mail", REGSET.replaceAll(/^/gm, "> ")],
    ["spaces for tabs", REGSET.replaceAll("\t", "    ")],
    ["colours", REGSET.replaceAll("RTADDR", "\x1b[1mRTADDR\x1b[0m")],
  ])("iommu_regset with %s", (_, text) => {
    expect(unit(text, { unit: "dmar0" }).registers.read64(0x20)).toBe(0x102a3b400n);
  });

  it.each([
    ["boot lines", BOOT, "boot line in regs.txt"],
    ["sysfs", SYSFS, "sysfs in regs.txt"],
  ])("%s give CAP, ECAP and the version; RTADDR is an option", (_, text, source) => {
    const { registers } = unit(text, { registers: new Map([["rtaddr", 0x102a3b400n]]) });
    expect(registers.read64(0x8)).toBe(0x1c0000c40660462n);
    expect(registers.read64(0x10)).toBe(0x29a00f0505en);
    expect(registers.read32(0x0)).toBe(0x40);
    expect(registers.read64(0x20)).toBe(0x102a3b400n);
    expect([registers.source(0x8), registers.source(0x20)]).toEqual([source, "--rtaddr"]);
    // A unit whose tables somebody asks about translates.
    expect([registers.read32(0x1c), registers.source(0x1c)]).toEqual([0x8000_0000, "assumed"]);
  });

  it.each([
    ["words", XP],
    ["giant words", XP_GIANT],
    ["words without 0x", XP.replaceAll(" 0x", " ")],
  ])("QEMU's xp, %s", (_, text) => {
    const { registers } = unit(text, { iommu: "vtd" });
    expect(registers.read64(0x8)).toBe(0xd2008c40660462n);
    expect(registers.read32(0x1c)).toBe(0xc7000000);
    expect(registers.read64(0x20)).toBe(0x102a3b400n);
  });

  it("QEMU's xp, a register at a time", () => {
    const answers = `(qemu) xp /1xw 0x09050004\r
09050004: 0x02739a40\r
(qemu) xp /1xg 0x09050080\r
09050080: 0x4000000101000000\r
09050000: 0x0d7e7eff\r
09050014: 0x00000074\r
09050088: 0x00010210\r
fed90000: 0x00000010\r
`;
    const { registers } = unit(answers, { iommu: "smmuv3" });
    const words = [0x0, 0x4, 0x14, 0x88].map((offset) => registers.read32(offset));
    expect(words).toEqual([0xd7e7eff, 0x2739a40, 0x74, 0x10210]);
    expect(registers.read64(0x80)).toBe(0x4000000101000000n);
  });

  it.each([
    [
      "names",
      "IDR0 0x0d7e7eff\nSMMU_IDR1: 0x02739a40\nIDR5=0x74\nstrtab_base 0x4000000101000000\nSTRTAB_BASE_CFG 0x10210\n",
    ],
    ["offsets", "0x00 0x0d7e7eff\n0x04 0x02739a40\n0x14 0x74\n0x80 0x01000000\n0x84 0x40000001\n0x88 0x00010210\n"],
  ])("an SMMU's, by %s", (_, text) => {
    const { iommu, registers } = unit(text, { iommu: "smmuv3" });
    expect(iommu).toBe("smmuv3");
    expect(registers.read32(0x0)).toBe(0xd7e7eff);
    expect(registers.read32(0x4)).toBe(0x2739a40);
    expect(registers.read64(0x80)).toBe(0x4000000101000000n);
    expect(registers.read32(0x88)).toBe(0x10210);
    expect([registers.read32(0x20), registers.source(0x20)]).toEqual([1, "assumed"]);
  });

  it("names say which IOMMU it is", () => {
    const names = "IDR0 1\nIDR1 2\nIDR5 3\nSTRTAB_BASE 4\nSTRTAB_BASE_CFG 5\n";
    expect(unit(names).iommu).toBe("smmuv3");
    expect(unit("RTADDR 1000\nCAP 2\nECAP 3\n").registers.read64(0x20)).toBe(0x1000n);
  });

  it("what is given outright wins, all 64 bits of it", () => {
    const { registers } = unit(REGSET, { unit: "dmar0", registers: new Map([["rtaddr", 0x7000n]]) });
    expect(registers.read64(0x20)).toBe(0x7000n);
    expect(refusal(() => unit(REGSET, { unit: "dmar0", registers: new Map([["idr0", 1n]]) })).message).toBe(
      "dump: --idr0 is no register of this IOMMU (vtd)",
    );
  });

  it("text without registers has none", () => {
    expect(readRegisterText("Dear Sir,\nVERY truly yours 12\nnothing: 0x12\n0x10000 0x1\n", "x")).toEqual([]);
  });
});

describe("missing registers", () => {
  it("are named, and how to get them", () => {
    const error = refusal(() => unit("CAP 1\n")) as MissingRegisters;
    expect(error).toBeInstanceOf(MissingRegisters);
    expect(error.message).toBe("dump: a dump holds memory, not registers; missing: RTADDR, ECAP");
    expect(error.advice).toContain("cat /sys/kernel/debug/iommu/intel/iommu_regset > regs.txt");
    expect(error.advice).toContain("--regs regs.txt");
  });

  it("of an SMMU", () => {
    const error = refusal(() => unit("IDR0 1\n")) as MissingRegisters;
    expect(error.missing).toBe("missing: IDR1, IDR5, STRTAB_BASE, STRTAB_BASE_CFG");
    expect(error.advice).toContain("/proc/iomem");
  });

  it("of nobody knows what", () => {
    const error = refusal(() => unit("")) as MissingRegisters;
    expect(error.message).toContain("which IOMMU it is (--iommu vtd or smmuv3)");
    expect(error.advice).toMatch(/Intel:.*Arm:/s);
  });

  it("the commands' own output is what --regs takes", () => {
    // The loop that the advice has for an SMMU prints offset and value.
    const printed =
      "0x00 0x0D7E7EFF\n0x04 0x02739A40\n0x0c 0x0\n0x14 0x74\n0x20 0xD\n0x80 0x1000000\n0x84 0x40000001\n0x88 0x10210\n";
    const { registers } = unit(printed, { iommu: "smmuv3" });
    expect(registers.read64(0x80)).toBe(0x4000000101000000n);
    expect(registers.source(0x20)).toBe("regs.txt");
  });
});
