/** `walk`: one request, every entry on its way. */
import { openWalker } from "../capture/state.ts";
import { outcomeToJson } from "../capture/verify.ts";
import { hex } from "../check.ts";
import type { Request, Trace } from "../iommu.ts";
import { IMAGE_HELP, IMAGE_OPTIONS, withImage } from "./image.ts";
import type { Io } from "./io.ts";
import { pictureOf } from "./show/picture.ts";
import { drawPicture } from "./show/svg.ts";
import { tellWalk } from "./show/trace.ts";
import { parseAccess, parseAddress, parsePasid, parseSid, resolveSid, SID_FORMS } from "./values.ts";
import { EXIT, readArguments, UsageError, type Verb } from "./verb.ts";

export const walk: Verb = {
  name: "walk",
  summary: "show every entry that one request reads, field by field",
  form: "walk IMAGE --sid SID [--pasid N] --iova ADDRESS [--access r|w|x] [--priv] [--probe] [--all] [--json] [--svg FILE] ...",
  help: `${IMAGE_HELP}--sid       the device: ${SID_FORMS}
--pasid     0..1048575, decimal or 0x..; without it the request carries none
--iova      the address the device uses
--access    r (default), w or x
--priv      a privileged request
--probe     leave accessed and dirty bits alone, as verify does
--all       every field, also those that are 0
--svg       also draw the walk to this file

A walk that ends in a fault is shown like any other: the exit code is 0.

example:
  npm run -s cli -- walk test/captures/A-vtd-sva.json \\
    --sid 00:06.0 --pasid 43068 --iova 0x6006b0 --access w
`,
  async run(args, io: Io) {
    const options = {
      ...IMAGE_OPTIONS,
      sid: TEXT,
      pasid: TEXT,
      iova: TEXT,
      access: TEXT,
      priv: FLAG,
      probe: FLAG,
      all: FLAG,
      svg: TEXT,
    };
    const given = readArguments(args, io, options, [1, 1], "an image");
    const { json, paint, text, flag } = given;
    const sid = text("sid");
    const iova = text("iova");
    const pasid = text("pasid");
    if (sid === undefined) throw new UsageError("--sid is missing");
    if (iova === undefined) throw new UsageError("--iova is missing");
    const device = parseSid(sid);
    const asked = {
      pasid: pasid === undefined ? null : parsePasid(pasid),
      address: parseAddress(iova),
      access: parseAccess(text("access") ?? "r"),
      privileged: flag("priv"),
      probe: flag("probe"),
    };
    await withImage(given, (image) => {
      const request: Request = { sid: resolveSid(device, image), ...asked };
      const walker = openWalker(image);
      const trace = walker.trace(request);
      const svg = text("svg");
      if (svg !== undefined) io.save(svg, drawPicture(pictureOf(request, trace, image, walker)));
      io.out(
        json
          ? `${JSON.stringify(traceToJson(request, trace))}\n`
          : tellWalk(request, trace, { image, paint, all: flag("all") }),
      );
    });
    return EXIT.OK;
  },
};

const TEXT = { type: "string" } as const;
const FLAG = { type: "boolean" } as const;

function traceToJson({ sid, pasid, address, access }: Request, { outcome, steps }: Trace): Record<string, unknown> {
  return {
    request: { sid, pasid, iova: hex(address), access },
    ...outcomeToJson(outcome),
    steps: steps.map((step) => ({
      structure: step.structure,
      stage: step.stage,
      level: step.level,
      address: hex(step.address),
      index: Number(step.index),
      words: step.words.map((word) => hex(word, 16)),
      checks: step.checks.map(({ id, failed }) => ({ id, failed })),
      ...(step.updated === undefined ? {} : { updated: hex(step.updated, 16) }),
    })),
  };
}
