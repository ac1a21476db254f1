/** What only the page tables themselves tell: access flags nobody sets, global mappings, reserved regions. */
import { REACH_KIND } from "../../assembly/layout/reach.ts";
import { CD, CD_SIZE, STE, STE_SIZE } from "../../assembly/layout/smmuv3.ts";
import { PASID, PASID_BYTES } from "../../assembly/layout/vtd.ts";
import { hex } from "../check.ts";
import type { Enumerator, Run, Totals } from "../reach/enumerate.ts";
import { type MapProgress, usersOf } from "../reach/map.ts";
import { type AddressSpace, ALL_RIGHTS, allows, type Grant, rightsMask, type Survey } from "../reach/model.ts";
import { getField, maskWords } from "../structure.ts";
import type { LintReport, Place, Rule } from "./finding.ts";

export interface Region {
  base: bigint;
  /** Last byte. */
  limit: bigint;
  devices: readonly number[];
}

/** Bits that stand for an accessed flag which counts as set. */
const AS_IF = {
  pasid: maskWords([PASID.PWSNP], PASID_BYTES / 8),
  ste: maskWords([STE.S2AFFD], STE_SIZE / 8),
  cd: maskWords([CD.AFFD], CD_SIZE / 8),
};

/** Lists spaces again as if accessed flags were set: what shows only then is out of reach until they are. */
export function lintAccessed(
  survey: Survey,
  enumerator: Enumerator,
  report: LintReport,
  vtd: boolean,
  rule: Rule,
  progress?: MapProgress,
): void {
  const users = usersOf(survey);
  for (const space of survey.spaces) {
    progress?.space(space.number, survey.spaces.length);
    if (space.kind === undefined || (vtd && getField([...space.entry], PASID.PWSNP))) continue;
    const grants = users.get(space) ?? [];
    const mask = rightsMask(grants.map(({ grant }) => grant));
    const now = bytesOf(enumerator, space, mask, progress);
    const marked = bytesOf(enumerator, asIf(space, vtd), mask, progress);
    if (now >= marked) continue;
    const [user] = grants;
    if (!user) continue;
    const more = grants.length > 1 ? `, used ${grants.length} times` : "";
    report.add(rule, placeOf(survey, user), `${space.title}${more}: ${(marked - now) / 1024n} KiB out of reach`);
  }
}

function asIf(space: AddressSpace, vtd: boolean): AddressSpace {
  const or = (words: readonly bigint[], masks: readonly bigint[]) =>
    words.map((word, i) => word | (masks[i] as bigint));
  if (vtd) return { ...space, entry: or(space.entry, AS_IF.pasid) };
  return { ...space, entry: or(space.entry, AS_IF.ste), cd: or(space.cd, AS_IF.cd) };
}

function bytesOf(enumerator: Enumerator, space: AddressSpace, mask: number, progress?: MapProgress): bigint {
  let bytes = 0n;
  enumerator.list(
    space,
    {
      run: (run) => {
        bytes += run.bytes;
      },
    },
    mask,
    (entries) => progress?.entries(entries),
  );
  return bytes;
}

function placeOf({ requesters }: Survey, user: { requesters: number; grant: Grant }): Place {
  const sid = requesters[user.requesters]?.sids?.[0];
  const { pasid } = user.grant;
  return {
    structure: "page tables",
    at: null,
    ...(sid === undefined ? {} : { sid }),
    ...(pasid === null ? {} : { pasid }),
  };
}

/** Stage 1 tables with global pages, beside others of the same VMID. */
export function lintGlobals(survey: Survey, enumerator: Enumerator, report: LintReport, rule: Rule): void {
  const users = usersOf(survey);
  const byVmid = new Map<bigint, Set<AddressSpace>>();
  const stage1 = survey.spaces.filter(({ kind }) => kind === REACH_KIND.FIRST || kind === REACH_KIND.NESTED);
  for (const space of stage1) {
    for (const { grant } of users.get(space) ?? []) {
      const vmid = grant.vmid ?? 0n;
      byVmid.set(vmid, (byVmid.get(vmid) ?? new Set()).add(space));
    }
  }
  for (const [vmid, spaces] of byVmid) {
    if (spaces.size < 2) continue;
    for (const space of spaces) {
      const { globals } = totalsOf(enumerator, space);
      const user = users.get(space)?.[0];
      if (globals === 0 || !user) continue;
      const what = `${globals} global pages, VMID ${vmid} has ${spaces.size - 1} other stage 1 tables`;
      report.add(rule, placeOf(survey, user), what);
    }
  }
}

function totalsOf(enumerator: Enumerator, space: AddressSpace): Totals {
  return enumerator.list(space, { run() {} }, ALL_RIGHTS);
}

/** Every device of a reserved region that has an entry must reach it, 1:1, to read and write. */
export function lintRegions(
  { requesters }: Survey,
  enumerator: Enumerator,
  report: LintReport,
  regions: readonly Region[],
  rules: { missing: Rule; overlap: Rule },
): void {
  for (const [i, region] of regions.entries()) {
    const other = regions.slice(0, i).find(({ base, limit }) => base <= region.limit && region.base <= limit);
    const place = { structure: "RMRR", at: region.base };
    if (other) report.add(rules.overlap, place, `${tellRegion(region)} overlaps ${tellRegion(other)}`);
    for (const sid of region.devices) {
      const grant = requesters.find(({ sids }) => sids?.includes(sid))?.grants.find(({ pasid }) => pasid === null);
      if (!grant || isMapped(enumerator, grant, region)) continue;
      report.add(rules.missing, { ...place, sid }, `${tellRegion(region)} is not all mapped 1:1 to read and write`);
    }
  }
}

const tellRegion = ({ base, limit }: Region): string => `${hex(base)}..${hex(limit)}`;

function isMapped(enumerator: Enumerator, grant: Grant, { base, limit }: Region): boolean {
  const { space } = grant;
  if (!space) return false;
  if (space.identity !== undefined) return limit < space.identity;
  let reached = base;
  const take = ({ input, output, bytes, rights }: Run) => {
    const covers = input === output && input <= reached && reached < input + bytes;
    if (covers && allows(rights, grant, "r") && allows(rights, grant, "w")) reached = input + bytes;
  };
  enumerator.list(space, { run: take }, rightsMask([grant]));
  return reached > limit;
}
