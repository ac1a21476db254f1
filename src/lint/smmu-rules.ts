/** What SMMUv3 tables should not say though hardware walks them. IHI 0070; each rule has its section. */
import type { Rule } from "./finding.ts";

const rule = (id: string, severity: Rule["severity"], section: string, title: string, why: string): Rule => ({
  id: `smmu.${id}`,
  severity,
  section: `IHI 0070 ${section}`,
  title,
  why,
});

export type SmmuRule =
  | "stale"
  | "reserved"
  | "span"
  | "refused"
  | "ignored"
  | "orphans"
  | "asids"
  | "global"
  | "vmids"
  | "vmidStage1"
  | "sharedCds"
  | "httu"
  | "accessed";

export const SMMU_RULES: Readonly<Record<SmmuRule, Rule>> = {
  stale: rule(
    "stale-entry",
    "note",
    "5.1 to 5.4",
    "an entry that is not valid is not clear",
    "hardware ignores all but V (Span in an L1STD), but whoever sets it next brings the rest back to life",
  ),
  reserved: rule(
    "reserved",
    "warning",
    "5.1 to 5.4",
    "reserved bits or values in a valid entry",
    "hardware of this version ignores them, a later version gives them a meaning",
  ),
  span: rule(
    "span",
    "error",
    "5.1",
    "an L1STD with a Span that is reserved or beyond SPLIT + 1",
    "all of its streams fail with C_BAD_STREAMID",
  ),
  refused: rule(
    "refused",
    "error",
    "5.2.2, 5.4.1",
    "a valid entry, and every transaction that uses it fails",
    "the device cannot work; the check named here is the first that fails",
  ),
  ignored: rule(
    "ignored-fields",
    "note",
    "5.2",
    "fields are set that the STE's Config, or the CD's EPDx, makes hardware ignore",
    "a change of Config alone would bring them to life; a driver that compares entries sees differences that are none",
  ),
  orphans: rule(
    "orphan-cds",
    "warning",
    "5.2, 5.3",
    "valid CDs that no transaction can use",
    "an entry above is not valid, or has no stage 1: a teardown left them, or an enable is missing",
  ),
  asids: rule(
    "asid-tables",
    "error",
    "3.17, 5.4",
    "one ASID, several translations",
    "streams of one world, VMID and ASID share cached translations: a device may get those of the other tables. ASET = 1 sets an ASID apart from those with ASET = 0, which broadcast invalidation reaches",
  ),
  global: rule(
    "global-mappings",
    "warning",
    "3.17",
    "global mappings (nG = 0) where other CDs of the same VMID have other tables",
    "global translations match every ASID of the VMID: other streams may get them, and TLBI by ASID leaves them",
  ),
  vmids: rule(
    "vmid-tables",
    "error",
    "3.17, 5.2",
    "one VMID, several stage 2 translations",
    "cached translations are tagged with the VMID: a device may get those of the other tables",
  ),
  vmidStage1: rule(
    "vmid-stage1",
    "warning",
    "3.17, 5.2",
    "a VMID of stage 2 is that of stage 1 only streams, too",
    "S2VMID tags stage 1 only streams as well: invalidating the one hits the other, and equal ASIDs share translations",
  ),
  sharedCds: rule(
    "shared-cds",
    "warning",
    "5.2",
    "streams share a CD table, with different S1CDMax or S1Fmt",
    "one of them reads the table in another shape, or beyond its end",
  ),
  httu: rule(
    "httu",
    "warning",
    "5.2, 5.4",
    "hardware update of access flag or dirty state is asked of an SMMU that has none (IDR0.HTTU)",
    "the architecture has the entry ILLEGAL; hardware that ignores the bits works, as Linux expects, other hardware refuses the entry",
  ),
  accessed: rule(
    "accessed",
    "warning",
    "5.2, 5.4, 3.13",
    "pages with AF = 0, and nobody to set it (HA = 0 or not implemented, AFFD = 0)",
    "transactions to them end with F_ACCESS until software sets AF",
  ),
};
