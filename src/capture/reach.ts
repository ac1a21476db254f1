/** From a machine image to the survey and the enumerator of its IOMMU. */
import { COMMAND_BYTES, EVENT_BYTES, PRI_BYTES } from "../../assembly/layout/smmuv3-queues.ts";
import { CMDQ_BASE, EVENTQ_BASE, PAGE0 } from "../../assembly/layout/smmuv3-registers.ts";
import { IRTE_BYTES } from "../../assembly/layout/vtd.ts";
import { IQA, IRTA, PQA, REG } from "../../assembly/layout/vtd-registers.ts";
import type { GuestMemory } from "../memory.ts";
import { Enumerator, REACH_WORKSPACE, type ReachKernel } from "../reach/enumerate.ts";
import type { Structure, Survey } from "../reach/model.ts";
import { surveySmmu } from "../smmuv3/survey.ts";
import { SmmuWalker } from "../smmuv3/walker.ts";
import { getField, getInPlace } from "../structure.ts";
import { surveyVtd } from "../vtd/survey.ts";
import { VtdWalker } from "../vtd/walker.ts";
import { guestMemory, type ImageUnit, type MachineImage } from "./image/image.ts";
import { openWalker } from "./state.ts";

export interface Reach {
  survey: Survey;
  enumerator: Enumerator;
}

/** Linear memory for a walker, its survey, and an enumerator that can remember many tables. */
export const WORKSPACE: number = REACH_WORKSPACE + 2 ** 21;

/** Surveys an image and makes ready to enumerate it. */
export function openReach(image: MachineImage, memory: GuestMemory = guestMemory(image.pages, WORKSPACE)): Reach {
  const reach = reachOf(memory, openWalker(image, memory));
  reach.survey.structures.push(...queuesOf(image));
  return reach;
}

/** The same for a walker over a memory. */
export function reachOf(memory: GuestMemory, walker: unknown): Reach {
  const { exports } = memory.core;
  if (walker instanceof VtdWalker) {
    const kernel: ReachKernel = { open: exports.vtdReachOpen, go: exports.vtdReach };
    return { survey: surveyVtd(memory, walker), enumerator: new Enumerator(memory.core, walker.unit, kernel) };
  }
  if (!(walker instanceof SmmuWalker)) throw new TypeError("walker: neither a VtdWalker nor a SmmuWalker");
  const kernel: ReachKernel = { open: exports.smmuReachOpen, go: exports.smmuReach };
  return { survey: surveySmmu(memory, walker), enumerator: new Enumerator(memory.core, walker.unit, kernel) };
}

const PAGE = 4096n;

/** What an IOMMU takes orders from besides its tables: queues, and VT-d's interrupt remapping table. */
function queuesOf({ iommu, registers }: ImageUnit): Structure[] {
  const found: Structure[] = [];
  const add = (role: string, address: bigint, bytes: bigint) => {
    if (address !== 0n) found.push({ role, address, bytes, guest: false });
  };
  const words = (offset: number) => [registers.read64(offset)];
  if (iommu === "vtd") {
    const iqa = words(REG.IQA);
    add("invalidation queue", getInPlace(iqa, IQA.IQA), PAGE << getField(iqa, IQA.QS));
    const pqa = words(REG.PQA);
    add("page request queue", getInPlace(pqa, PQA.PQA), PAGE << getField(pqa, PQA.PQS));
    const irta = words(REG.IRTA);
    add("interrupt remapping table", getInPlace(irta, IRTA.IRTA), BigInt(IRTE_BYTES) << (getField(irta, IRTA.S) + 1n));
    return found;
  }
  const queue = (role: string, offset: number, entry: number) => {
    const base = words(offset);
    add(role, getInPlace(base, EVENTQ_BASE.ADDR), BigInt(entry) << getField(base, CMDQ_BASE.LOG2SIZE));
  };
  queue("command queue", PAGE0.CMDQ_BASE, COMMAND_BYTES);
  queue("event queue", PAGE0.EVENTQ_BASE, EVENT_BYTES);
  queue("PRI queue", PAGE0.PRIQ_BASE, PRI_BYTES);
  return found;
}
