/**
 * The outcome matrix of VT-d faults (rev. 5.10, "Outcome matrix", table 30): for each condition its fault
 * reason, whether FPD can suppress it, and what each kind of request is answered.
 *
 * Written out from the specification's table, not from `assembly/layout`: a second source.
 */

/** Kinds of requests: untranslated, translation, translated; each without (n) or with (p) PASID. */
export type Kind = "un" | "up" | "tn" | "tp" | "xn" | "xp";
const KINDS: readonly Kind[] = ["un", "up", "tn", "tp", "xn", "xp"];

/**
 * UR, CA: completion status. S0: a successful completion without rights, Seff: with those that are left; neither is
 * recorded. S0*: as S0 and recorded. "-": the condition does not apply to that kind.
 */
export type Reply = "UR" | "CA" | "S0" | "Seff" | "S0*" | "-";

export interface Condition {
  code: number;
  /** FPD suppresses the record. */
  qualified: boolean;
  replies: Readonly<Record<Kind, Reply>>;
}

/** Condition, fault reason, qualified?, replies in the order of KINDS. */
const ROWS: readonly (readonly [string, number, "Y" | "N", string])[] = [
  ["LRT.2", 0x01, "N", "UR - UR - UR -"],
  ["LCT.2", 0x02, "Y", "UR - UR - UR -"],
  ["LCT.4.1", 0x03, "Y", "UR - CA - UR -"],
  ["LCT.4.2", 0x03, "Y", "UR - CA - UR -"],
  ["LCT.4.3", 0x03, "Y", "UR - CA - - -"],
  ["LGN.1.1", 0x04, "Y", "UR - S0 - - -"],
  ["LGN.1.2", 0x04, "Y", "- - - - UR -"],
  ["LGN.1.3", 0x04, "Y", "UR - - - - -"],
  ["LGN.2", 0x05, "Y", "UR - Seff - - -"],
  ["LGN.3", 0x06, "Y", "UR - Seff - - -"],
  ["LSS.1", 0x07, "Y", "UR - CA - - -"],
  ["LRT.1", 0x08, "N", "UR - CA - UR -"],
  ["LCT.1", 0x09, "N", "UR - CA - UR -"],
  ["LRT.3", 0x0a, "N", "UR - CA - UR -"],
  ["LCT.3", 0x0b, "Y", "UR - CA - UR -"],
  ["LSS.2", 0x0c, "Y", "UR - CA - - -"],
  ["LCT.5", 0x0d, "Y", "- - UR - UR -"],
  ["LGN.4", 0x0e, "Y", "UR - CA - UR -"],
  ["RTA.1.1-3", 0x30, "N", "UR UR CA CA UR UR"],
  ["RTA.1.4", 0x30, "N", "UR - CA - UR -"],
  ["RTA.2", 0x31, "N", "- UR - UR - UR"],
  ["RTA.4", 0x33, "N", "UR UR UR UR UR UR"],
  ["RTA.5", 0x34, "N", "- UR - UR - UR"],
  ["SRT.1", 0x38, "N", "UR UR CA CA UR UR"],
  ["SRT.2", 0x39, "N", "UR UR UR UR UR UR"],
  ["SRT.3", 0x3a, "N", "UR UR CA CA UR UR"],
  ["SCT.1", 0x40, "N", "UR UR CA CA UR UR"],
  ["SCT.2", 0x41, "Y", "UR UR UR UR UR UR"],
  ["SCT.3", 0x42, "Y", "UR UR CA CA UR UR"],
  ["SCT.4.1", 0x43, "Y", "UR UR CA CA UR UR"],
  ["SCT.4.2", 0x43, "Y", "UR UR CA CA UR UR"],
  ["SCT.4.3", 0x43, "Y", "UR - CA - UR UR"],
  ["SCT.5", 0x44, "Y", "- - UR UR UR UR"],
  ["SCT.6", 0x45, "Y", "- UR - UR - -"],
  ["SCT.7", 0x46, "Y", "- UR - UR - UR"],
  ["SCT.9", 0x48, "Y", "- UR - UR - UR"],
  ["SCT.10", 0x49, "Y", "- - - - - UR"],
  ["SPD.1", 0x50, "N", "UR UR CA CA CA CA"],
  ["SPD.2", 0x51, "Y", "UR UR S0 S0 UR UR"],
  ["SPD.3", 0x52, "Y", "UR UR CA CA CA CA"],
  ["SPT.1", 0x58, "N", "UR UR CA CA CA CA"],
  ["SPT.2", 0x59, "Y", "UR UR S0 S0 UR UR"],
  ["SPT.3", 0x5a, "Y", "UR UR CA CA CA CA"],
  ["SPT.4.1", 0x5b, "Y", "UR UR CA CA CA CA"],
  ["SPT.4.2", 0x5b, "Y", "UR UR CA CA CA CA"],
  ["SPT.4.3", 0x5b, "Y", "UR UR CA CA CA CA"],
  ["SPT.4.4", 0x5b, "Y", "UR UR CA CA CA CA"],
  ["SPT.5", 0x5c, "Y", "- UR - S0 - -"],
  ["SPT.6", 0x5d, "Y", "UR UR S0 S0 - -"],
  ["SPT.9", 0x60, "Y", "- - - - UR UR"],
  ["SFS.1", 0x70, "Y", "UR UR S0 S0 - -"],
  ["SFS.2", 0x71, "Y", "UR UR S0 S0 - -"],
  ["SFS.3", 0x72, "Y", "UR UR S0 S0 - -"],
  ["SFS.4", 0x73, "Y", "UR UR S0 S0 - -"],
  ["SFS.5", 0x74, "Y", "UR UR S0 S0 - -"],
  ["SFS.6", 0x75, "Y", "UR UR S0 S0 - -"],
  ["SFS.7", 0x76, "Y", "UR UR S0 S0 - -"],
  ["SFS.8", 0x77, "Y", "UR UR S0 S0 - -"],
  ["SSS.1", 0x78, "Y", "UR UR CA CA - -"],
  ["SSS.2", 0x79, "Y", "UR UR S0 S0 - -"],
  ["SSS.3", 0x7a, "Y", "UR UR CA CA - -"],
  ["SSS.4", 0x7b, "Y", "UR UR CA CA - -"],
  ["SSS.5", 0x7c, "Y", "UR UR CA CA - -"],
  ["SSS.6", 0x7d, "Y", "UR UR CA CA - -"],
  ["SGN.1", 0x80, "Y", "UR UR S0 S0 - -"],
  ["SGN.2", 0x81, "Y", "UR UR S0 S0 - -"],
  ["SGN.4.1", 0x83, "Y", "- - - - UR UR"],
  ["SGN.4.2", 0x83, "Y", "UR UR S0 S0 - -"],
  ["SGN.5", 0x84, "Y", "UR UR S0 S0 - -"],
  ["SGN.6", 0x85, "Y", "UR UR Seff Seff - -"],
  ["SGN.7", 0x86, "Y", "UR UR Seff Seff - -"],
  ["SGN.8.1", 0x87, "Y", "UR UR - - - -"],
  ["SGN.8.2", 0x87, "Y", "- - CA CA - -"],
  ["SGN.8.3", 0x87, "Y", "- - - - UR UR"],
  ["SGN.10", 0x89, "Y", "- UR - UR - UR"],
  ["SFS.9", 0x90, "Y", "UR UR S0 S0 - -"],
  ["SFS.10", 0x91, "Y", "UR UR S0* S0* - -"],
  ["HPT.1", 0xa0, "Y", "- - - - CA CA"],
  ["HPT.2", 0xa1, "Y", "- - - - CA CA"],
  ["HPT.3", 0xa2, "Y", "- - - - CA CA"],
  ["HPT.4", 0xa3, "Y", "- - - - UR UR"],
  ["HPT.5", 0xa4, "Y", "- - - - UR UR"],
  ["HPT.6", 0xa5, "Y", "- - - - UR UR"],
];

export const CONDITIONS: ReadonlyMap<string, Condition> = new Map(
  ROWS.map(([name, code, qualified, replies]) => {
    const columns = replies.split(" ") as Reply[];
    const byKind = Object.fromEntries(KINDS.map((kind, i) => [kind, columns[i]])) as Record<Kind, Reply>;
    return [name, { code, qualified: qualified === "Y", replies: byKind }];
  }),
);

/** Every fault reason that a walk (not a page request, not an interrupt) can give. */
export const WALK_CODES: readonly number[] = [...new Set(ROWS.map(([, code]) => code))];

/** An untranslated request to FEEx_xxxxh that is no interrupt: logged as an interrupt-remapping fault. */
export const INTERRUPT_RANGE_CODE = 0x29;
