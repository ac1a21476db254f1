/**
 * A set: the identity of a group of IDs, and the type of data its owner attaches to them.
 *
 * One space of IDs is competed for by users of different kinds (processes, auxiliary domains, device
 * drivers), each with data of its own type. A look-up names the set it means, and gets nothing from
 * any other.
 */
let created = 0;

export class IoasidSet<T = unknown> {
  /** For people. Two sets of one name are two sets. */
  readonly name: string;
  /** What tells sets apart inside the ID tables; 0 stands for "no set". */
  readonly key: number;
  /** Never there: it makes a set of one type no set of another. */
  declare protected readonly data: (data: T) => T;

  constructor(name: string) {
    this.name = name;
    this.key = ++created;
  }
}

/** A set of whatever type, where only the identity counts. */
export type AnySet = Pick<IoasidSet, "name" | "key">;

export function keyOf(set: AnySet | null): number {
  return set === null ? 0 : set.key;
}
