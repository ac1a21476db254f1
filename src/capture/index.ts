/** The public names of `iommulator/capture`: tables and traces of real machines, walked and replayed. */

export { type Capture, type CaptureNames, type ExpectedRow, parseCapture } from "./capture.ts";
export type { MachineImage, PagedMemory } from "./image/image.ts";
export { InputError } from "./input.ts";
export { parseTrace, type TraceLine } from "./regtrace.ts";
export { REASONS, type Reason, type ReasonId } from "./replay/reasons.ts";
export { type ReadDifference, type ReplayReport, replay } from "./replay/replay.ts";
export { openWalker } from "./state.ts";
export { type Disagreement, type Verification, verifyCapture } from "./verify.ts";
