/**
 * What an SMMU with caches may answer: a model that remembers everything hardware may still hold.
 *
 * Two streams with a CD each, two address spaces of four pages. Whatever memory held since the last
 * invalidation that covers it may be cached: STEs and CDs by stream, tables and leaves by ASID (IHI 0070
 * 3.17, 3.21, 4.3, 4.4). Faulting descriptors are never cached, so an answer is one that some mixture of
 * these gives.
 */

export const SIDS = [1, 2] as const;
export const ASIDS = [1, 2] as const;
export const ROOTS = [0, 1] as const;
export const PAGES = [0, 1, 2, 3] as const;

export type Ste = "abort" | "invalid" | "bypass" | "stage 1";
/** Undefined: V = 0. */
export type Cd = { root: number; asid: number } | undefined;
/** Undefined: not mapped. */
export type Leaf = { frame: number; readOnly: boolean; global: boolean } | undefined;
export type Access = "r" | "w";

/** What a leaf that is cached says, by whom. */
interface Cached {
  /** Undefined: global, of every ASID. */
  asid: number | undefined;
  page: number;
  leaf: NonNullable<Leaf>;
}

export class StaleModel {
  readonly ste = new Map<number, Ste>(SIDS.map((sid) => [sid, "abort"]));
  readonly cd = new Map<number, Cd>(SIDS.map((sid) => [sid, undefined]));
  readonly leaves: Leaf[][] = ROOTS.map(() => PAGES.map(() => undefined));
  readonly #stes = new Map<number, Set<Ste>>();
  readonly #cds = new Map<number, Map<string, Cd>>();
  readonly #roots = new Map<number, Set<number>>();
  #cached = new Map<string, Cached>();

  constructor() {
    this.invalidateConfiguration(() => true);
    this.#see();
  }

  /** Memory changed: whatever is reachable now may be cached from now on. */
  changed(): void {
    for (const sid of SIDS) {
      this.#stes.get(sid)?.add(this.ste.get(sid) as Ste);
      this.#cds.get(sid)?.set(JSON.stringify(this.cd.get(sid) ?? null), this.cd.get(sid));
    }
    this.#see();
  }

  /** STEs of these streams, and what was reached through them. */
  invalidateConfiguration(covers: (sid: number) => boolean): void {
    for (const sid of SIDS.filter(covers)) {
      this.#stes.set(sid, new Set([this.ste.get(sid) as Ste]));
      this.invalidateCds((other) => other === sid);
    }
  }

  invalidateCds(covers: (sid: number) => boolean): void {
    for (const sid of SIDS.filter(covers)) {
      this.#cds.set(sid, new Map([[JSON.stringify(this.cd.get(sid) ?? null), this.cd.get(sid)]]));
    }
    this.#see();
  }

  /**
   * @param covers leaves that have to go; `asid` undefined is a global one
   * @param tables ASIDs whose tables have to go
   */
  invalidateTlb(covers: (asid: number | undefined, page: number) => boolean, tables: readonly number[]): void {
    this.#cached = new Map([...this.#cached].filter(([, { asid, page }]) => !covers(asid, page)));
    for (const asid of tables) this.#roots.delete(asid);
    this.#see();
  }

  /** Everything that may be answered, in the words of `answerOf`. */
  permitted(sid: number, page: number, access: Access): Set<string> {
    const answers = new Set<string>();
    for (const ste of this.#stes.get(sid) ?? []) {
      if (ste !== "stage 1") answers.add(ste === "bypass" ? `to page ${page}` : ste === "abort" ? "abort" : "event 4");
      else for (const cd of this.#cds.get(sid)?.values() ?? []) this.#throughCd(cd, page, access, answers);
    }
    return answers;
  }

  /** What an SMMU without caches answers. */
  fresh(sid: number, page: number, access: Access): string {
    const ste = this.ste.get(sid);
    if (ste === "abort") return "abort";
    if (ste === "invalid") return "event 4";
    if (ste === "bypass") return `to page ${page}`;
    const cd = this.cd.get(sid);
    return cd ? leafAnswer(this.leaves[cd.root]?.[page], access) : "event 10";
  }

  #throughCd(cd: Cd, page: number, access: Access, answers: Set<string>): void {
    if (!cd) {
      answers.add("event 10");
      return;
    }
    for (const { asid, page: at, leaf } of this.#cached.values()) {
      if (at === page && (asid === undefined || asid === cd.asid)) answers.add(leafAnswer(leaf, access));
    }
    for (const root of this.#roots.get(cd.asid) ?? []) answers.add(leafAnswer(this.leaves[root]?.[page], access));
  }

  /** Notes every table and leaf that a walk could reach at this moment. */
  #see(): void {
    for (const sid of SIDS) {
      if (!this.#stes.get(sid)?.has("stage 1")) continue;
      for (const cd of this.#cds.get(sid)?.values() ?? []) if (cd) this.#rootsOf(cd.asid).add(cd.root);
    }
    for (const [asid, roots] of this.#roots) {
      for (const root of roots) for (const page of PAGES) this.#note(asid, page, this.leaves[root]?.[page]);
    }
  }

  #note(asid: number, page: number, leaf: Leaf): void {
    if (!leaf) return;
    const cached = { asid: leaf.global ? undefined : asid, page, leaf };
    this.#cached.set(JSON.stringify(cached), cached);
  }

  #rootsOf(asid: number): Set<number> {
    const roots = this.#roots.get(asid) ?? new Set();
    this.#roots.set(asid, roots);
    return roots;
  }
}

function leafAnswer(leaf: Leaf, access: Access): string {
  if (!leaf) return "event 16";
  return leaf.readOnly && access === "w" ? "event 19" : `to frame ${leaf.frame}`;
}
