/** A map of what devices reach, as JSON: one document, in pieces. Addresses and sizes are hex strings. */
import type { MachineImage } from "../../capture/image/image.ts";
import { showPermissions } from "../../capture/verify.ts";
import { hex } from "../../check.ts";
import type { DmaMap, SpaceMap } from "../../reach/map.ts";
import { type Grant, permissionsOf, type Survey } from "../../reach/model.ts";
import type { Sharing, TableWriter } from "../../reach/shared.ts";
import type { Answer } from "../../reach/who.ts";

type Json = Record<string, unknown>;

/** Pieces of one line of JSON. */
export function* mapToJson(
  map: DmaMap,
  sharing: Sharing,
  writers: readonly TableWriter[],
  image: MachineImage,
): Iterable<string> {
  const { survey } = map;
  const head = {
    unit: { name: image.name, iommu: image.iommu, mode: survey.mode },
    devices: survey.requesters.map(requestersToJson),
  };
  yield `${JSON.stringify(head).slice(0, -1)},"spaces":[`;
  for (const [i, space] of map.spaces.entries()) {
    yield i === 0 ? "" : ",";
    yield* spaceToJson(map, space);
  }
  const list = (spaces: readonly { number: number }[]) => spaces.map(({ number }) => number);
  const tail = {
    shared: {
      count: sharing.count,
      bytes: hex(sharing.bytes),
      writable: hex(sharing.writable),
      ranges: sharing.ranges.map(({ address, bytes, spaces, writers: written }) => ({
        address: hex(address),
        bytes: hex(bytes),
        spaces: list(spaces),
        writers: list(written),
      })),
    },
    tables: map.structures.length,
    tableWriters: writers.map(({ space, structure, input, count }) => ({
      space: space.number,
      table: structure.role,
      address: hex(structure.address),
      iova: hex(input),
      count,
    })),
    notes: map.notes,
  };
  yield `],${JSON.stringify(tail).slice(1)}\n`;
}

export function requestersToJson({ sids, grants, trusted }: Survey["requesters"][number]): Json {
  return { sids: sids?.map((sid) => hex(sid)) ?? null, ats: trusted, requests: grants.map(grantToJson) };
}

function grantToJson({ pasid, space, fault, privilege, instruction, tag }: Grant): Json {
  return {
    pasid,
    space: space?.number ?? null,
    ...(fault ? { fault: { code: hex(fault.code), name: fault.name, check: fault.check } } : {}),
    privilege,
    instruction,
    tag,
  };
}

function* spaceToJson({ runs }: DmaMap, { space, from, to, repeats, totals }: SpaceMap): Iterable<string> {
  const { number, title, identity, tagged } = space;
  const head = { number, title, bypass: identity === undefined ? null : hex(identity), tagged: tagged ?? null };
  yield `${JSON.stringify(head).slice(0, -1)},"ranges":[`;
  for (let i = from; i < to; i++) {
    const { input, output, bytes, rights, sizes } = runs.at(i);
    const range = {
      iova: hex(input),
      output: hex(output),
      bytes: hex(bytes),
      ...rightsToJson(rights, ANY),
      pages: pageSizes(sizes),
    };
    yield `${i === from ? "" : ","}${JSON.stringify(range)}`;
  }
  const tail = {
    repeats: repeats.map(({ input, bytes, like, table }) => ({
      iova: hex(input),
      bytes: hex(bytes),
      like: hex(like),
      table: hex(table),
    })),
    totals,
  };
  yield `],${JSON.stringify(tail).slice(1)}`;
}

const ANY = { privilege: "both", instruction: "as asked" } as const;

function rightsToJson(rights: number, grant: Pick<Grant, "privilege" | "instruction">): Json {
  const { user, privileged } = permissionsOf(rights, grant);
  return { user: user ? showPermissions(user) : null, privileged: privileged ? showPermissions(privileged) : null };
}

function pageSizes(sizes: bigint): string[] {
  const found: string[] = [];
  for (let size = 1n; size <= sizes; size *= 2n) if (sizes & size) found.push(hex(size));
  return found;
}

/** Who reaches a range. */
export function whoToJson(survey: Survey, { hits, notes }: Answer): Json {
  return {
    hits: hits.map(({ requesters, grant, input, output, bytes, rights, aliases }) => ({
      sids: survey.requesters[requesters]?.sids?.map((sid) => hex(sid)) ?? null,
      pasid: grant.pasid,
      space: grant.space?.number ?? null,
      iova: hex(input),
      output: hex(output),
      bytes: hex(bytes),
      ...rightsToJson(rights, grant),
      aliases: aliases.map((address) => hex(address)),
    })),
    trusted: survey.requesters.filter(({ trusted }) => trusted).map(({ sids }) => sids?.map((sid) => hex(sid)) ?? null),
    notes,
  };
}
