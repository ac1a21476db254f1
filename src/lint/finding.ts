/** What a linter says: a rule that is broken, where, and how. */

/** error: requests fail, or go where nobody meant; warning: hardware may do either; note: untidy. */
export type Severity = "error" | "warning" | "note";

export interface Rule {
  /** "vtd.did-tables" */
  id: string;
  severity: Severity;
  /** "VT-d 9.6" */
  section: string;
  /** What is wrong, in a few words. */
  title: string;
  /** Why it matters. */
  why: string;
}

/** Where something stands. */
export interface Place {
  /** "PASID table entry" */
  structure: string;
  at: bigint | null;
  /** Source-id or StreamID. */
  sid?: number;
  pasid?: number;
}

export interface LintFinding extends Place {
  rule: Rule;
  /** What is there. */
  what: string;
}

/** Findings of one rule that are kept; the others are counted. */
export const MAX_FINDINGS = 256;

/** PASID entries or CDs looked at: tables that link themselves could show 2^36. */
export const MAX_ENTRIES = 1_048_576;

export class LintReport {
  readonly findings: LintFinding[] = [];
  /** How often each rule is broken, by id. */
  readonly counts: Map<string, number> = new Map();
  /** What could not be looked at. */
  readonly notes: string[] = [];

  add(rule: Rule, place: Place, what: string): void {
    const count = (this.counts.get(rule.id) ?? 0) + 1;
    this.counts.set(rule.id, count);
    if (count <= MAX_FINDINGS) this.findings.push({ ...place, rule, what });
  }
}

/** The first user of something that all others have to use alike. */
export class Agreement<T> {
  readonly #first = new Map<string, { place: Place; value: T }>();

  /** @returns the first that used `key` with another value, as `same` judges; undefined when all is well */
  differs(key: string, place: Place, value: T, same: (a: T, b: T) => boolean): Place | undefined {
    const first = this.#first.get(key);
    if (!first) {
      this.#first.set(key, { place, value });
      return undefined;
    }
    return same(first.value, value) ? undefined : first.place;
  }
}
