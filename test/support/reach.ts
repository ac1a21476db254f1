/** Answers out of an enumeration, to be held against a walker's. */
import type { Reach } from "../../src/capture/reach.ts";
import { hex } from "../../src/check.ts";
import type { Request, SmmuWalker, VtdWalker } from "../../src/index.ts";
import type { Enumerator, Repeat, Run, Totals } from "../../src/reach/enumerate.ts";
import { type AddressSpace, type Grant, permissionsOf, rightsMask } from "../../src/reach/model.ts";

export interface Listing {
  runs: Run[];
  repeats: Repeat[];
  totals: Totals;
}

export function listing(enumerator: Enumerator, space: AddressSpace, grants: readonly Grant[]): Listing {
  const runs: Run[] = [];
  const repeats: Repeat[] = [];
  const totals = enumerator.list(
    space,
    { run: (run) => runs.push(run), repeat: (repeat) => repeats.push(repeat) },
    rightsMask(grants),
  );
  return { runs, repeats, totals };
}

const INTERRUPTS = { first: 0xfee0_0000n, last: 0xfeef_ffffn };
const isInterrupt = (address: bigint) => address >= INTERRUPTS.first && address <= INTERRUPTS.last;

/** Where `address` goes and with which RIGHTS, undefined where nowhere. */
export function lookUp({ runs, repeats }: Listing, address: bigint): { output: bigint; rights: number } | undefined {
  const run = runs.find(({ input, bytes }) => address >= input && address - input < bytes);
  if (run) return { output: run.output + (address - run.input), rights: run.rights };
  const repeat = repeats.find(({ input, bytes }) => address >= input && address - input < bytes);
  return repeat && lookUp({ runs, repeats, totals: EMPTY }, repeat.like + (address - repeat.input));
}

const EMPTY: Totals = { entries: 0, leaves: 0, refused: 0, missing: 0, globals: 0, cut: false };

/** "0x1000 rw" for a kind of access that a grant lets pass, "" where it does not. */
export function answer(
  listing: Listing | undefined,
  grant: Grant,
  address: bigint,
  access: "r" | "w" | "x",
  privileged: boolean,
  vtd: boolean,
): bigint | undefined {
  if (!grant.space || (vtd && grant.pasid === null && isInterrupt(address))) return undefined;
  if (grant.space.identity !== undefined) {
    return address < grant.space.identity && !(vtd && isInterrupt(address)) ? address : undefined;
  }
  const found = listing && lookUp(listing, untagged(address, grant.space));
  if (!found) return undefined;
  const { user, privileged: kernel } = permissionsOf(found.rights, grant);
  // Where only one privilege counts, requests of the other have that one, or are refused.
  const rights = (privileged ? kernel : user) ?? kernel ?? user;
  const granted = access === "r" ? rights?.read : access === "w" ? rights?.write : rights?.execute;
  return granted ? found.output : undefined;
}

/** IHI 0070 3.4.1, TBI: bits 63:56 count as bit 55. */
function untagged(address: bigint, { tagged }: AddressSpace): bigint {
  const isUpper = ((address >> 55n) & 1n) === 1n;
  const ignored = isUpper ? tagged?.upper : tagged?.lower;
  return ignored ? BigInt.asUintN(64, BigInt.asIntN(56, address)) : address;
}

/** Addresses worth asking for: both ends of what is listed, and beyond. */
export function edges({ runs, repeats }: Listing, limit: number): bigint[] {
  const some: bigint[] = [];
  for (const { input, bytes } of [...runs, ...repeats].slice(0, limit)) {
    for (const address of [input - 1n, input, input + bytes / 2n, input + bytes - 1n, input + bytes]) {
      some.push(BigInt.asUintN(64, address));
    }
  }
  return some;
}

/** How often what was compared. */
export interface Compared {
  mapped: number;
  refused: number;
  nested: number;
  repeats: number;
}

/**
 * Where an enumeration and a walker differ, in words: over the addresses of `requests` and the ends of all that is
 * listed, for every requester, access and privilege; and where one of the requests passes that nobody is listed for.
 */
export function differences(
  { survey, enumerator }: Reach,
  walker: VtdWalker | SmmuWalker,
  requests: readonly Request[],
  accesses: readonly ("r" | "w" | "x")[],
  compared: Compared,
): string[] {
  const vtd = !accesses.includes("x");
  const listings = new Map<AddressSpace, Listing>();
  const all = survey.requesters.flatMap(({ grants }) => grants);
  for (const space of survey.spaces) {
    const grants = all.filter((grant) => grant.space === space);
    listings.set(space, listing(enumerator, space, grants));
  }
  const wrong: string[] = [];
  for (const { sids, grants } of survey.requesters) {
    for (const grant of grants) {
      const found = grant.space && listings.get(grant.space);
      if (grant.space?.nested) compared.nested++;
      compared.repeats += found?.repeats.length ?? 0;
      const asked = requests.map(({ address }) => address);
      for (const address of new Set([...asked, ...(found ? edges(found, 20) : [])])) {
        for (const access of accesses) {
          for (const privileged of [false, true]) {
            // VT-d has no privilege without a PASID.
            const counts = privileged && !(vtd && grant.pasid === null);
            const request: Request = {
              sid: sids?.[0] ?? 0,
              pasid: grant.pasid,
              address,
              access,
              privileged,
              probe: true,
            };
            const outcome = walker.translate(request);
            const walked = outcome.ok && outcome.answer === "success" ? outcome.address : undefined;
            const refused = vtd && counts && grant.privilege === "user";
            const listed = refused ? undefined : answer(found, grant, address, access, counts, vtd);
            if (walked === undefined) compared.refused++;
            else compared.mapped++;
            if (listed === walked) continue;
            const say = (value: bigint | undefined) => (value === undefined ? "nothing" : hex(value));
            const why = outcome.ok ? "" : ` (${outcome.check})`;
            const who = `${grant.space?.title}, PASID ${grant.pasid}, ${access}${privileged ? " privileged" : ""}`;
            wrong.push(`${who} ${hex(address)}: listed ${say(listed)}, walked ${say(walked)}${why}`);
          }
        }
      }
    }
  }
  const passing = requests.filter(({ type, access }) => type === "untranslated" && access !== "a");
  for (const request of passing) {
    // VT-d 3.14: without PASID FEEx_xxxxh needs no tables.
    if (vtd && isInterrupt(request.address)) continue;
    if (!walker.translate({ ...request, probe: true }).ok) continue;
    const who = survey.requesters.find(({ sids }) => sids === undefined || sids.includes(request.sid));
    const isListed = who?.sids === undefined || who.grants.some(({ pasid }) => pasid === (request.pasid ?? null));
    if (!who || !isListed) wrong.push(`${hex(request.sid)} ${request.pasid}: translates, and is not listed`);
  }
  return wrong;
}
