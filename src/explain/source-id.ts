/** How a device is called: `bb:dd.f` for ids of 16 bits, hexadecimal for wider ones. */
import { SOURCE_ID } from "../../assembly/layout/vtd.ts";
import { hex } from "../check.ts";
import { getBits } from "../structure.ts";

const MAX_SOURCE_ID = 0xffff;

export function showSourceId(sid: number): string {
  if (sid > MAX_SOURCE_ID) return hex(sid);
  const part = (field: number) => Number(getBits(BigInt(sid), field));
  const byte = (value: number) => value.toString(16).padStart(2, "0");
  return `${byte(part(SOURCE_ID.BUS))}:${byte(part(SOURCE_ID.DEVICE))}.${part(SOURCE_ID.FUNCTION)}`;
}
