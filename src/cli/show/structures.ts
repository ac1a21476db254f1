/** The shape of a step, whoever's walk it is of. */
import type { ImageUnit } from "../../capture/image/image.ts";
import type { Shape } from "../../explain/shape.ts";
import { smmuShape } from "../../explain/shapes/smmuv3.ts";
import { vtdShape } from "../../explain/shapes/vtd.ts";
import type { TraceStep } from "../../iommu.ts";

/** Undefined for a step that reads no memory: rules that the request alone can break. */
export function shapeOf({ iommu }: ImageUnit, step: TraceStep): Shape | undefined {
  return iommu === "vtd" ? vtdShape(step) : smmuShape(step);
}
