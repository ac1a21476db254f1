/** `map`: everything that devices reach, or who reaches a range of physical memory. */
import { openReach, type Reach } from "../capture/reach.ts";
import { dmaMap } from "../reach/map.ts";
import type { Survey } from "../reach/model.ts";
import { sharedMemory, tableWriters } from "../reach/shared.ts";
import { type Target, whoCan } from "../reach/who.ts";
import { IMAGE_HELP, IMAGE_OPTIONS, withImage } from "./image.ts";
import type { Io } from "./io.ts";
import { progressLine } from "./progress.ts";
import { tellMap, tellWho } from "./show/map.ts";
import { mapToJson, whoToJson } from "./show/map-json.ts";
import { parseNumber, parsePasid, parseSid, resolveSid, SID_FORMS } from "./values.ts";
import { EXIT, readArguments, UsageError, type Verb } from "./verb.ts";

const TEXT = { type: "string" } as const;
const FLAG = { type: "boolean" } as const;

export const map: Verb = {
  name: "map",
  summary: "everything that devices reach: addresses, rights, pass-through, shared pages, writable tables",
  form: "map IMAGE [--who-can-write ADDRESS[+SIZE] | --who-can-read ADDRESS[+SIZE]] [--sid SID] [--pasid N] [--all] [--json] ...",
  help: `${IMAGE_HELP}--who-can-write, --who-can-read
            only who reaches this physical range, and at which addresses; SIZE is
            one byte unless told, with K, M, G
--sid       only this device: ${SID_FORMS}
--pasid     only this PASID
--all       every range, not the first of each address space

Rights are rwx, or rwx/rw- where unprivileged and privileged requests differ.
Tables that several devices or PASIDs share are listed once. A range goes on in
addresses and memory alike, with the same rights; accessed and dirty bits count
as settable where the unit may set them. A table that serves several ranges is
read once, so tables that point at themselves end. At most 2^31 entries are
looked at and 8,388,608 ranges kept, in 54 bytes each; where that is not enough
the output says so. --who-can-... keeps none.

Exit code 1: a device can write to tables or queues that the IOMMU obeys.

example:
  npm run -s cli -- map test/captures/A-vtd-sva.json
  npm run -s cli -- map test/captures/A-vtd-sva.json --who-can-write 0x40b6000+4K
`,
  async run(args, io: Io) {
    const options = {
      ...IMAGE_OPTIONS,
      "who-can-write": TEXT,
      "who-can-read": TEXT,
      sid: TEXT,
      pasid: TEXT,
      all: FLAG,
    };
    const given = readArguments(args, io, options, [1, 1], "an image");
    const { json, paint, text, flag } = given;
    const write = text("who-can-write");
    const read = text("who-can-read");
    if (write !== undefined && read !== undefined)
      throw new UsageError("--who-can-write and --who-can-read exclude each other");
    const target = write ?? read;
    const range = target === undefined ? undefined : parseTarget(target, write === undefined ? "read" : "write");
    const sid = text("sid");
    const device = sid === undefined ? undefined : parseSid(sid);
    const pasid = text("pasid");
    const onlyPasid = pasid === undefined ? undefined : parsePasid(pasid);
    return withImage(given, (image) => {
      const reach = openReach(image);
      select(reach, device && resolveSid(device, image), onlyPasid);
      const progress = progressLine(io);
      const view = { image, paint, all: flag("all") };
      if (range) {
        const access = write === undefined ? "r" : "w";
        const answer = whoCan(reach.survey, reach.enumerator, access, range, progress);
        progress.done();
        io.out(
          json
            ? `${JSON.stringify(whoToJson(reach.survey, answer))}\n`
            : tellWho(reach.survey, answer, access, range, view),
        );
        return EXIT.OK;
      }
      const found = dmaMap(reach.survey, reach.enumerator, progress);
      const sharing = sharedMemory(found);
      const writers = tableWriters(found);
      progress.done();
      for (const piece of json ? mapToJson(found, sharing, writers, image) : tellMap(found, sharing, writers, view))
        io.out(piece);
      return writers.length > 0 ? EXIT.FINDINGS : EXIT.OK;
    });
  },
};

/** Leaves of a survey what one device or one PASID has to do with. */
function select({ survey }: Reach, sid: number | undefined, pasid: number | undefined): void {
  if (sid === undefined && pasid === undefined) return;
  const kept = survey.requesters
    .filter(({ sids }) => sid === undefined || sids === undefined || sids.includes(sid))
    .map((one) => ({
      ...one,
      sids: sid === undefined ? one.sids : [sid],
      grants: one.grants.filter((grant) => pasid === undefined || grant.pasid === pasid),
    }))
    .filter(({ grants }) => grants.length > 0);
  survey.requesters = kept;
  const used = new Set(kept.flatMap(({ grants }: Survey["requesters"][number]) => grants.map(({ space }) => space)));
  survey.spaces = survey.spaces.filter((space) => used.has(space));
}

const TOP = 2n ** 64n;
const UNITS = { "": 1n, K: 1024n, M: 1024n ** 2n, G: 1024n ** 3n } as const;

/** `0x1000`, `0x1000+4K` */
function parseTarget(text: string, access: string): Target {
  const [start = "", size, ...rest] = text.split("+");
  const address = parseNumber(start);
  const unit = size === undefined ? undefined : /[KMG]$/.exec(size)?.[0];
  const count = size === undefined ? 1n : parseNumber(size.replace(/[KMG]$/, ""));
  const bytes = count === undefined ? undefined : count * UNITS[(unit ?? "") as keyof typeof UNITS];
  if (address === undefined || !bytes || rest.length > 0 || address + bytes > TOP) {
    throw new UsageError(`--who-can-${access}: "${text}" is not an address, or address+size, such as 0x40b6000+4K`);
  }
  return { address, bytes };
}
