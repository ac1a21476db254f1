/** QEMU's iommu-testdev, a PCI function that writes four bytes to an address of its choice (QEMU 11.1). */
import { command } from "./qtest.ts";

/** Its BAR (QEMU's include/hw/misc/iommu-testdev.h). */
const TRIGGER = 0x00n;
const ADDRESS_LOW = 0x04n;
const ADDRESS_HIGH = 0x08n;
const LENGTH = 0x0cn;
const RESULT = 0x10n;
const DOORBELL = 0x14n;
const ATTRIBUTES = 0x18n;
const CHECK_LOW = 0x1cn;
const CHECK_HIGH = 0x20n;
/** Non-secure, and the field that says so is valid. */
const NON_SECURE = 0b1010;

const WORD = 0xffff_ffffn;
/** What it found: the bytes where they were expected, or elsewhere, or the write refused. */
export const FATE: ReadonlyMap<bigint, "there" | "refused" | "elsewhere"> = new Map([
  [0n, "there"],
  [0xdead0002n, "refused"],
  [0xdead0003n, "elsewhere"],
  [0xdead0004n, "elsewhere"],
]);

/** Has the device at `bar` write to `address`, and look for the bytes at `expected`. The last answer is the result. */
export function dmaWrite(bar: bigint, address: bigint, expected: bigint): string[] {
  const put = (register: bigint, value: bigint | number) => command.write32(bar + register, value);
  return [
    put(ADDRESS_LOW, address & WORD),
    put(ADDRESS_HIGH, address >> 32n),
    put(CHECK_LOW, expected & WORD),
    put(CHECK_HIGH, expected >> 32n),
    put(LENGTH, 4),
    put(ATTRIBUTES, NON_SECURE),
    put(DOORBELL, 1),
    command.read32(bar + TRIGGER),
    command.read32(bar + RESULT),
  ];
}
