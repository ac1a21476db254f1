/** A map of what devices reach, for people: devices, address spaces, and what is worth a look. */
import type { MachineImage } from "../../capture/image/image.ts";
import { hex } from "../../check.ts";
import { showSourceId } from "../../explain/source-id.ts";
import type { Permissions } from "../../iommu.ts";
import type { DmaMap, SpaceMap } from "../../reach/map.ts";
import { type AddressSpace, type Grant, permissionsOf, type Requesters, type Survey } from "../../reach/model.ts";
import type { Sharing, TableWriter } from "../../reach/shared.ts";
import type { Answer, Target } from "../../reach/who.ts";
import { type Paint, wrap } from "../paint.ts";
import { IOMMU_NAMES, MIB } from "./labels.ts";
import { showSize } from "./verdict.ts";

export interface MapView {
  image: MachineImage;
  paint: Paint;
  all: boolean;
}

/** Lines of a list unless all are asked for. */
const FEW = 12;

/** Pieces of text, so that a million ranges need not be one string. */
export function* tellMap(
  map: DmaMap,
  sharing: Sharing,
  writers: readonly TableWriter[],
  view: MapView,
): Iterable<string> {
  const { survey } = map;
  const { image, paint, all } = view;
  yield `${paint("bold", image.name)}: ${IOMMU_NAMES[image.iommu]}, ${survey.mode}\n`;
  for (const requesters of survey.requesters) yield tellRequesters(requesters, view);
  if (survey.requesters.length === 0) yield "no device has an entry: nothing is reached\n";
  for (const space of map.spaces) yield* tellSpace(map, space, view);
  yield `\n${paint("bold", "summary")}\n`;
  yield tellSharing(sharing, paint, all);
  yield tellWriters(map, writers, view);
  yield tellTrust(survey);
  for (const note of map.notes) yield paint("yellow", wrap(note, "    ", undefined, "  note: ").trimEnd()).concat("\n");
}

/** "00:06.0", "streams 0x0..0xff" and so on. */
export function nameSids({ sids }: Pick<Requesters, "sids">): string {
  if (!sids) return "every device";
  const parts: string[] = [];
  for (let i = 0; i < sids.length; ) {
    const first = sids[i] as number;
    let last = i;
    while (sids[last + 1] === (sids[last] as number) + 1) last++;
    const end = sids[last] as number;
    parts.push(last === i ? showSourceId(first) : `${showSourceId(first)}..${showSourceId(end)}`);
    i = last + 1;
  }
  const shown = parts.slice(0, FEW).join(", ");
  return parts.length > FEW ? `${shown} and ${parts.length - FEW} more` : shown;
}

function namePasid({ pasid }: Pick<Grant, "pasid">): string {
  return pasid === null ? "without PASID" : `PASID ${hex(pasid)}`;
}

/** A device, or several that are alike, and what its requests come to. */
export function tellRequesters(requesters: Requesters, { image, paint, all }: MapView): string {
  const { grants, trusted } = requesters;
  const name = wrap(nameSids(requesters), "    ", undefined, "").trimEnd();
  let text = `\n${paint("bold", name)}${trusted ? "  trusted with ATS" : ""}\n`;
  const shown = all ? grants : grants.slice(0, FEW);
  for (const grant of shown) {
    const { space, fault, tag, privilege } = grant;
    const rights = privilege === "privileged" ? ", privileged" : "";
    const what = space
      ? `space ${space.number}: ${space.title}${tag === "" ? "" : ` (${tag}${rights})`}`
      : `refused: ${fault ? nameFault(fault.code, fault.check || fault.name, image) : "its entry cannot be read"}`;
    text += wrap(what, " ".repeat(21), undefined, `  ${namePasid(grant).padEnd(17)}  `);
  }
  if (shown.length < grants.length) text += `  ... and ${grants.length - shown.length} more PASIDs (--all)\n`;
  return text;
}

function nameFault(code: number, check: string, { iommu }: MachineImage): string {
  if (code === 0) return `without an event (${check})`;
  return `${iommu === "vtd" ? "reason" : "event"} ${hex(code, 2)} ${check}`;
}

function* tellSpace(
  map: DmaMap,
  { space, from, to, repeats, totals, users }: SpaceMap,
  { paint, all }: MapView,
): Iterable<string> {
  const count = to - from;
  let bytes = 0;
  for (let i = from; i < to; i++) bytes += map.runs.bytes(i);
  const head =
    space.identity === undefined
      ? `${count} range${count === 1 ? "" : "s"}, ${roughly(bytes)}`
      : `everything below ${hex(space.identity)}`;
  yield `\n${paint("bold", `space ${space.number}`)}${wrap(`: ${space.title}: ${head}`, "    ", 72, "")}`;
  const shown = all ? count : Math.min(count, FEW);
  if (shown > 0) yield paint("dim", "  address                 memory                     size  rights   pages\n");
  for (let i = from; i < from + shown; i++) {
    const { input, output, bytes: size, rights, sizes } = map.runs.at(i);
    const columns = [hex(input).padEnd(18), "->", hex(output).padEnd(18), showSize(size).padStart(11)];
    yield `  ${columns.join("   ")}  ${showRights(
      rights,
      users.map(({ grant }) => grant),
    ).padEnd(7)}  ${showSizes(sizes)}\n`;
  }
  if (shown < count) yield `  ... and ${count - shown} more (--all)\n`;
  for (const { input, bytes: size, like, table } of all ? repeats : repeats.slice(0, FEW)) {
    yield `  ${hex(input)}, ${showSize(size)}: as at ${hex(like)}, by the same table (${hex(table)})\n`;
  }
  if (!all && repeats.length > FEW)
    yield `  ... and ${repeats.length - FEW} more ranges by tables seen before (--all)\n`;
  if (space.tagged?.lower || space.tagged?.upper) yield "  the top byte of addresses does not count (TBI)\n";
  if (totals.refused > 0) yield `  ${totals.refused} entries break a rule or grant nothing\n`;
}

/** "34.5 MiB" for what has no round size. */
function roughly(bytes: number): string {
  const exact = showSize(BigInt(bytes));
  const mib = bytes / Number(MIB);
  return mib > 10 && exact.endsWith("KiB") ? `${mib.toFixed(1)} MiB` : exact;
}

const letters = ({ read, write, execute }: Permissions): string =>
  `${read ? "r" : "-"}${write ? "w" : "-"}${execute ? "x" : "-"}`;

/** "rw-", or "rwx/rw-" where unprivileged and privileged requests differ. */
export function showRights(rights: number, grants: readonly Pick<Grant, "privilege" | "instruction">[]): string {
  const [grant] = grants;
  if (!grant) return "";
  const { user, privileged } = permissionsOf(rights, { privilege: widest(grants), instruction: grant.instruction });
  if (!user) return privileged ? letters(privileged) : "";
  const plain = letters(user);
  return privileged && letters(privileged) !== plain ? `${plain}/${letters(privileged)}` : plain;
}

function widest(grants: readonly Pick<Grant, "privilege">[]): Grant["privilege"] {
  const all = new Set(grants.map(({ privilege }) => privilege));
  return all.size === 1 ? ([...all][0] as Grant["privilege"]) : "both";
}

/** "4K 2M" */
function showSizes(sizes: bigint): string {
  const names: string[] = [];
  for (let shift = 0n; sizes >> shift; shift++) {
    if ((sizes >> shift) % 2n) names.push(showSize(2n ** shift).replace(/ (.)iB/, "$1"));
  }
  return names.join(" ");
}

function tellSharing({ ranges, count, bytes, writable }: Sharing, paint: Paint, all: boolean): string {
  if (count === 0) return "  no memory is reached by two address spaces\n";
  let text = wrap(
    `memory that two or more address spaces reach: ${roughly(Number(bytes))} in ${count} ranges, ${roughly(Number(writable))} of it writable for one`,
    "    ",
    undefined,
    "  ",
  );
  const list = (spaces: readonly AddressSpace[]) => spaces.map(({ number }) => number).join(", ");
  const shown = all ? ranges : ranges.slice(0, FEW);
  for (const { address, bytes: size, spaces, writers } of shown) {
    const who = writers.length > 0 ? `; written by ${list(writers)}` : "";
    text += wrap(`${hex(address)}, ${showSize(size)}: spaces ${list(spaces)}${who}`, "      ", undefined, "    ");
  }
  if (shown.length < count) text += paint("dim", `    ... and ${count - shown.length} more\n`);
  return text;
}

function tellWriters(map: DmaMap, writers: readonly TableWriter[], { paint }: MapView): string {
  if (writers.length === 0) {
    return wrap(
      `no mapping lets a device write to the ${map.structures.length} tables and queues found`,
      "    ",
      undefined,
      "  ",
    );
  }
  return writers
    .map(({ space, structure, input, count }) => {
      const more = count > 1 ? ` (${count} such mappings)` : "";
      const line = `space ${space.number} can write to the ${structure.role} at ${hex(structure.address)}${more}, at address ${hex(input)}: ${DANGER}`;
      return `${paint("red", wrap(line, "    ", undefined, "  ! ").trimEnd())}\n`;
    })
    .join("");
}

const DANGER = "its devices can give themselves all of memory";

/** Who reaches everything by right. */
function tellTrust({ requesters }: Survey): string {
  const through = requesters.flatMap((one) =>
    one.grants
      .filter(({ space }) => space?.identity !== undefined)
      .map((grant) => `${nameSids(one)} ${namePasid(grant)}`),
  );
  const trusted = requesters.filter((one) => one.trusted).map(nameSids);
  let text = "";
  if (through.length > 0) {
    const shown = through.slice(0, FEW).join(", ");
    const more = through.length > FEW ? ` and ${through.length - FEW} more` : "";
    text += wrap(`reach all of memory, tables included, untranslated: ${shown}${more}`, "    ", undefined, "  ");
  }
  if (trusted.length > 0) {
    text += wrap(
      `may send translated requests, which name any address (ATS): ${trusted.slice(0, FEW).join(", ")}`,
      "    ",
      undefined,
      "  ",
    );
  }
  return text;
}

/** Who reaches a range. */
export function tellWho(
  survey: Survey,
  { hits, notes }: Answer,
  access: "r" | "w",
  target: Target,
  view: MapView,
): string {
  const { paint } = view;
  const verb = access === "w" ? "write to" : "read";
  const range = `${hex(target.address)}, ${showSize(target.bytes)}`;
  let text = `${paint("bold", `who can ${verb} ${range}`)}\n`;
  const shown = view.all ? hits : hits.slice(0, 10 * FEW);
  for (const { requesters, grant, input, output, bytes, rights, aliases } of shown) {
    const who = `${nameSids(survey.requesters[requesters] as Requesters)}, ${namePasid(grant)}`;
    const also = aliases.length > 0 ? `; also at ${aliases.map((address) => hex(address)).join(", ")}` : "";
    const where = `at ${hex(input)} -> ${hex(output)}, ${showSize(bytes)}, ${showRights(rights, [grant])}`;
    text += wrap(
      `${who}: ${where} (space ${grant.space?.number}: ${grant.space?.title})${also}`,
      "    ",
      undefined,
      "  ",
    );
  }
  if (shown.length < hits.length) text += `  ... and ${hits.length - shown.length} more (--all)\n`;
  if (hits.length === 0) text += "  nobody, by untranslated requests\n";
  const trusted = survey.requesters.filter((one) => one.trusted).map(nameSids);
  if (trusted.length > 0) {
    text += wrap(
      `by translated requests (ATS), which name any address: ${trusted.join(", ")}`,
      "    ",
      undefined,
      "  ",
    );
  }
  for (const note of notes) text += paint("yellow", wrap(note, "    ", undefined, "  note: ").trimEnd()).concat("\n");
  return text;
}
