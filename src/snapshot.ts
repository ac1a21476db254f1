/**
 * Snapshots of a unit: plain data that survives JSON, tied to the configuration that made it.
 *
 * A unit's state goes in as JSON values; out comes an object with a version, the configuration's
 * fingerprint and a checksum, so that a snapshot of another unit or a damaged one is refused with
 * the reason, before anything is changed.
 */

export type Json = null | boolean | number | string | readonly Json[] | { readonly [name: string]: Json };

export interface Snapshot {
  format: "iommulator-snapshot";
  version: 1;
  /** What was saved: "vtd" or "smmuv3". */
  kind: string;
  /** What the unit is: capability values and options that change how it behaves. */
  configuration: { readonly [name: string]: Json };
  state: Json;
  /** Of everything above. */
  checksum: string;
}

/** Wraps a state for keeping. */
export function seal(kind: string, configuration: Snapshot["configuration"], state: Json): Snapshot {
  const body = { format: "iommulator-snapshot" as const, version: 1 as const, kind, configuration, state };
  return { ...body, checksum: checksumOf(body) };
}

/**
 * The state of a snapshot that fits.
 * @throws TypeError for what is no snapshot; RangeError when it is of another version, kind or
 *   configuration, or damaged, saying which
 */
export function unseal(kind: string, configuration: Snapshot["configuration"], snapshot: Snapshot): Json {
  if (typeof snapshot !== "object" || snapshot === null || snapshot.format !== "iommulator-snapshot") {
    throw new TypeError("snapshot: not a snapshot of this library");
  }
  if (snapshot.version !== 1) throw new RangeError(`snapshot: version ${snapshot.version} is not 1`);
  const { checksum, ...body } = snapshot;
  if (checksumOf(body) !== checksum) throw new RangeError("snapshot: torn, its checksum does not fit its contents");
  if (snapshot.kind !== kind) throw new RangeError(`snapshot: of a ${snapshot.kind}, not a ${kind}`);
  const names = new Set([...Object.keys(configuration), ...Object.keys(snapshot.configuration)]);
  for (const name of names) {
    const [theirs, ours] = [snapshot.configuration[name], configuration[name]].map((value) => canonical(value ?? null));
    if (theirs !== ours) throw new RangeError(`snapshot: of another configuration: ${name} is ${theirs}, here ${ours}`);
  }
  return snapshot.state;
}

/** JSON with sorted names, so that equal values have equal text. */
function canonical(value: Json): string {
  if (Array.isArray(value)) return `[${value.map(canonical).join(",")}]`;
  if (typeof value !== "object" || value === null) return JSON.stringify(value);
  const members = Object.entries(value).sort(([a], [b]) => (a < b ? -1 : 1));
  return `{${members.map(([name, member]) => `${JSON.stringify(name)}:${canonical(member)}`).join(",")}}`;
}

const FNV_OFFSET = 0xcbf29ce484222325n;
const FNV_PRIME = 0x100000001b3n;

/** FNV-1a, 64 bits, over UTF-16 code units: finds damage, not malice. */
function checksumOf(value: Omit<Snapshot, "checksum">): string {
  let hash = FNV_OFFSET;
  const text = canonical({ ...value });
  for (let i = 0; i < text.length; i++) {
    hash = BigInt.asUintN(64, (hash ^ BigInt(text.charCodeAt(i))) * FNV_PRIME);
  }
  return hash.toString(16).padStart(16, "0");
}
