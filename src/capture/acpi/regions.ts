/** RMRRs out of a DMAR table: memory that firmware's devices go on using (VT-d rev 5.10, 8.4). */
import type { Bytes } from "./table.ts";

export interface ReservedRegion {
  base: bigint;
  /** Last byte. */
  limit: bigint;
  segment: number;
  /** Source-ids of endpoints on the bus that the table names. */
  devices: number[];
  /** Scopes behind bridges, whose bus numbers the table does not tell. */
  unresolved: number;
}

const RMRR = 1;
const ENDPOINT = 1;

const FIRST_STRUCTURE = 48;
/** Offsets in an RMRR. */
enum AT {
  SEGMENT = 6,
  BASE = 8,
  LIMIT = 16,
  SCOPES = 24,
}
/** Offsets in a device scope; one with a path of one step ends at END. */
enum SCOPE {
  LENGTH = 1,
  BUS = 5,
  DEVICE = 6,
  FUNCTION = 7,
  END = 8,
}

/** @throws InputError for a table that is torn */
export function reservedRegions(table: Bytes): ReservedRegion[] {
  const regions: ReservedRegion[] = [];
  for (let at = FIRST_STRUCTURE; at < table.length; ) {
    const length = table.u16(at + 2);
    if (length < 4 || at + length > table.length)
      table.refuse(at, `a structure of ${length} bytes does not fit the table`);
    if (table.u16(at) === RMRR) regions.push(region(table, at, at + length));
    at += length;
  }
  return regions;
}

function region(table: Bytes, at: number, end: number): ReservedRegion {
  const devices: number[] = [];
  let unresolved = 0;
  for (let scope = at + AT.SCOPES; scope < end; ) {
    const length = table.u8(scope + SCOPE.LENGTH);
    if (length < SCOPE.DEVICE || scope + length > end)
      table.refuse(scope, `a device scope of ${length} bytes does not fit`);
    if (table.u8(scope) === ENDPOINT && length === SCOPE.END) {
      devices.push(
        table.u8(scope + SCOPE.BUS) * 256 + table.u8(scope + SCOPE.DEVICE) * 8 + table.u8(scope + SCOPE.FUNCTION),
      );
    } else unresolved++;
    scope += length;
  }
  return {
    base: table.u64(at + AT.BASE),
    limit: table.u64(at + AT.LIMIT),
    segment: table.u16(at + AT.SEGMENT),
    devices,
    unresolved,
  };
}
