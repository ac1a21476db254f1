/** Random ID and control registers: mostly everything implemented, now and then something missing. */
import type { Choices } from "../choices.ts";
import type { OracleState } from "../smmu-oracle/index.ts";

export function chooseState(c: Choices): OracleState {
  const has = (percent = 6) => (c.chance(percent) ? 0 : 1);
  const minor = c.chance(5) ? 0 : 1 + c.below(3);
  const stages = c.chance(8) ? 1 + c.below(2) : 3;
  const httu = c.chance(25) ? c.below(2) : 2;
  const endian = c.chance(15) ? 2 + c.below(2) : 0;
  const ats = has();
  const stallModel = c.chance(20) ? 1 + c.below(2) : 0;
  const idr0 =
    stages |
    (2 << 2) |
    (httu << 6) |
    (has() << 9) |
    (ats << 10) |
    ((ats && c.chance(10) ? 1 : 0) << 11) |
    (has(10) << 12) |
    (has(10) << 18) |
    (has(10) << 19) |
    (endian << 21) |
    ((ats && c.chance(50) ? 1 : 0) << 23) |
    (stallModel << 24) |
    ((c.chance(15) ? 1 : 0) << 26) |
    (has(10) << 27);
  const ssidBits = c.chance(12) ? c.below(9) : 20;
  const sidBits = c.chance(10) ? c.below(33) : 16;
  const idr1 = sidBits | (ssidBits << 6) | (has(10) << 26) | (has(10) << 27);
  const idr3 = (has() << 2) | (has(15) << 4) | (has(15) << 8) | (has(20) << 9);
  const oas = minor === 0 ? c.pick([5, 4, 3, 2, 1, 0]) : c.pick([5, 6, 6, 4, 5, 6, 1, 2, 3, 0]);
  const granules = c.chance(12) ? 1 + c.below(7) : 7;
  const wide = oas === 6 && !c.chance(10) ? 1 : 0;
  const idr5 = oas | (granules << 4) | (wide << 10);
  const enabled = c.chance(2) ? 0 : 1;
  const atsCheck = c.chance(50) ? 1 : 0;
  return {
    idr0: idr0 >>> 0,
    idr1: idr1 >>> 0,
    idr3,
    idr5,
    aidr: minor,
    cr0: enabled | (atsCheck << 4),
    cr2: (c.below(2) ^ 1 ? 2 : 0) | c.below(2) | (c.below(2) << 3),
    gbpa: c.chance(30) ? Number(c.bits(20)) | (c.below(2) << 20) : 0,
    strtabBase: 0n,
    strtabBaseCfg: 0,
  };
}
