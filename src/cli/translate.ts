/** `translate`: requests as JSON lines in, outcomes as JSON lines out, one for one. */

import { parseBdf } from "../capture/capture.ts";
import type { MachineImage } from "../capture/image/image.ts";
import { Json } from "../capture/input.ts";
import { maxSid, openWalker } from "../capture/state.ts";
import { outcomeToJson } from "../capture/verify.ts";
import { hex } from "../check.ts";
import { ACCESSES, ADDRESS_TYPES, type Request } from "../iommu.ts";
import { IMAGE_HELP, IMAGE_OPTIONS, withImage } from "./image.ts";
import type { Io } from "./io.ts";
import { EXIT, readArguments, UsageError, type Verb } from "./verb.ts";

const MAX_PASID = 0xfffff;

export const translate: Verb = {
  name: "translate",
  summary: "answer requests given as JSON lines",
  form: "translate IMAGE --requests FILE|- ...",
  help: `${IMAGE_HELP}--requests  one JSON object a line; "-" reads standard input
--json      accepted: the output is JSON lines in any case

A request:  {"sid":"00:06.0","pasid":1,"iova":"0x40b6008","access":"w"}
  sid      number, "0x30" or "bb:dd.f"
  iova     "0x.." or number
  pasid    number; absent or null: the request carries none
  access   "r" (default), "w", "x" or "a" (atomic)
  type     "untranslated" (default), "translation" or "translated"
  priv     true: privileged
  probe    true: leave accessed and dirty bits alone
The answer repeats the request and adds ok, and gpa, page, perm or fault, name,
check and so on. A fault is an answer: the exit code stays 0.

example:
  echo '{"sid":"00:06.0","pasid":1,"iova":"0x40b6008"}' |
    npm run -s cli -- translate test/captures/A-vtd-sva.json --requests -
`,
  async run(args, io: Io) {
    const given = readArguments(args, io, { ...IMAGE_OPTIONS, requests: { type: "string" } }, [1, 1], "an image");
    const path = given.text("requests");
    if (path === undefined) throw new UsageError("--requests is missing");
    await withImage(given, (image) => answer(image, path, io));
    return EXIT.OK;
  },
};

async function answer(image: MachineImage, path: string, io: Io): Promise<void> {
  const walker = openWalker(image);
  const file = path === "-" ? "standard input" : path;
  let number = 0;
  for await (const line of io.lines(path)) {
    number++;
    if (line.trim() === "") continue;
    const request = parseRequest(Json.parse(`${file}: line ${number}`, line), maxSid(image));
    const outcome = walker.translate(request);
    io.out(`${JSON.stringify({ ...requestToJson(request), ...outcomeToJson(outcome) })}\n`);
  }
}

function parseRequest(json: Json, max: number): Request {
  const access = json.at("access");
  const type = json.at("type");
  const pasid = json.at("pasid");
  const flag = (name: string) => json.at(name).present && json.at(name).boolean();
  return {
    sid: parseSidMember(json.at("sid"), max),
    pasid: pasid.present ? pasid.count(MAX_PASID) : null,
    address: json.at("iova").bits(),
    access: access.present ? access.oneOf(ACCESSES) : "r",
    type: type.present ? type.oneOf(ADDRESS_TYPES) : "untranslated",
    privileged: flag("priv"),
    probe: flag("probe"),
  };
}

function parseSidMember(json: Json, max: number): number {
  if (json.isNumber) return json.count(max);
  const sid = parseBdf(json.string()) ?? Number(json.hex(32));
  return sid > max ? json.refuse(`${hex(sid)} is above ${hex(max)}`) : sid;
}

function requestToJson({ sid, pasid, address, access, type, privileged }: Request): Record<string, unknown> {
  return {
    sid,
    pasid,
    iova: hex(address),
    access,
    ...(privileged ? { priv: true } : {}),
    ...(type === "untranslated" ? {} : { type }),
  };
}
