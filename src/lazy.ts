/** Tables whose rows are worked out when they are first asked for: an import should not wait for all of them. */

/** An object with the members of `makers`, each made once, when it is first read. */
export function lazily<Name extends string, Value>(
  makers: Readonly<Record<Name, () => Value>>,
): Readonly<Record<Name, Value>> {
  const made = {} as Record<Name, Value>;
  for (const name of Object.keys(makers) as Name[]) {
    Object.defineProperty(made, name, {
      enumerable: true,
      configurable: true,
      get() {
        const value = makers[name]();
        Object.defineProperty(made, name, { enumerable: true, value });
        return value;
      },
    });
  }
  return made;
}
