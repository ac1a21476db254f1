/** What VT-d tables should not say though hardware walks them. VT-d rev 5.10; each rule has its section. */
import type { Rule } from "./finding.ts";

const rule = (id: string, severity: Rule["severity"], section: string, title: string, why: string): Rule => ({
  id: `vtd.${id}`,
  severity,
  section: `VT-d ${section}`,
  title,
  why,
});

export type VtdRule =
  | "stale"
  | "refused"
  | "noDefault"
  | "didZero"
  | "didTables"
  | "didTypes"
  | "pasidTables"
  | "secondAccessed"
  | "firstModes"
  | "levels"
  | "orphans"
  | "sharedDirectory"
  | "ignoredPointer"
  | "accessed"
  | "regionMissing"
  | "regionOverlap";

export const VTD_RULES: Readonly<Record<VtdRule, Rule>> = {
  stale: rule(
    "stale-entry",
    "note",
    "9.1 to 9.6",
    "an entry that is not present is not clear",
    "hardware ignores all but P (and FPD), but whoever sets P next brings the rest back to life",
  ),
  refused: rule(
    "refused",
    "error",
    "7.1.3",
    "an entry is present, and every request that uses it fails",
    "the device cannot work; the check named here is the first that fails",
  ),
  noDefault: rule(
    "no-default",
    "note",
    "3.4.3",
    "requests without PASID have no entry",
    "they fault; right only for a device that sends all of its requests with a PASID",
  ),
  didZero: rule(
    "did-0",
    "error",
    "11.4.2, CAP.CM",
    "domain id 0 with caching mode",
    "with CAP.CM = 1 hardware uses domain id 0 for what is not present, and refuses the entry",
  ),
  didTables: rule(
    "did-tables",
    "error",
    "6.2.1, 9.6",
    "one domain id, several second-stage tables",
    "cached translations are tagged with the domain id alone: a device may get those of the other tables",
  ),
  didTypes: rule(
    "did-types",
    "error",
    "6.2.1, 9.6",
    "one domain id for first-stage or pass-through and for second-stage or nested entries",
    "their cached translations must not be told apart by type: hardware may use either",
  ),
  pasidTables: rule(
    "pasid-tables",
    "error",
    "6.2.1, 9.6",
    "one PASID and domain id, several first-stage tables",
    "cached translations are tagged with PASID and domain id, not with the device",
  ),
  secondAccessed: rule(
    "second-accessed",
    "error",
    "3.7.2, 9.6",
    "the same second-stage tables with and without accessed and dirty bits (SSADE)",
    "cached translations made without them leave pages unmarked that were written",
  ),
  firstModes: rule(
    "first-modes",
    "error",
    "3.6, 9.6",
    "the same first-stage tables with different FSPM or EAFE",
    "one of the two reads the tables from the wrong level, or leaves bits unset that the other wants",
  ),
  levels: rule(
    "levels",
    "error",
    "3.7, 9.6",
    "the same second-stage tables walked with different numbers of levels (AW)",
    "the table at the root is of one level only: to one of the two every address means something else",
  ),
  orphans: rule(
    "orphan-pasids",
    "warning",
    "3.4.3, 9.4, 9.5",
    "PASID entries are present that no request can use",
    "an entry above is not present, or PASIDE = 0: a teardown left them, or an enable is missing",
  ),
  sharedDirectory: rule(
    "shared-directory",
    "warning",
    "9.4",
    "devices share a PASID directory, with different PDTS, RID_PASID or RID_PRIV",
    "the directory is as long as the largest PDTS says for one of them only, and one device's default is another's PASID",
  ),
  ignoredPointer: rule(
    "ignored-pointer",
    "note",
    "9.3, 9.6",
    "a table pointer that the type does not use is not 0",
    "a change of type alone would make hardware walk whatever it points at",
  ),
  accessed: rule(
    "accessed",
    "warning",
    "3.6.2, 3.7.2, 7.1.3 (SFS.9, SSS.5)",
    "pages that are not marked accessed, and a unit that may not mark them (PWSNP = 0)",
    "the first request for such a page fails with 90h or 7Ch; mark the entries beforehand, or set PWSNP where ECAP.SMPWCS = 1",
  ),
  regionMissing: rule(
    "rmrr-missing",
    "error",
    "8.4",
    "firmware's reserved memory is not mapped for a device that uses it",
    "firmware's own requests fault, from keyboards and management controllers on: map the region 1:1, read and write",
  ),
  regionOverlap: rule(
    "rmrr-overlap",
    "warning",
    "8.4",
    "two reserved regions overlap",
    "devices of both can reach the same memory, and unmapping one takes it from the other",
  ),
};
