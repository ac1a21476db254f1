/** Recorded requests that caches may answer otherwise: see `vtd-shared-tag.test.ts` for why. */
export const SHARED_TAG: readonly string[] = [
  "vtd-1190 op 24",
  "vtd-1194 op 28",
  "vtd-1194 op 91",
  "vtd-1324 op 52",
  "vtd-1332 op 26",
  "vtd-1332 op 73",
  "vtd-1479 op 46",
  "vtd-1580 op 44",
];
