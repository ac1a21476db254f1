/** Lists for people: a label, and text beside it. */
import { type Paint, wrap } from "../paint.ts";

/** How many of a long list are shown unless all are asked for. */
export const FEW = 8;
export const MIB = 1_048_576n;
export const IOMMU_NAMES = { vtd: "Intel VT-d", smmuv3: "Arm SMMUv3" } as const;

const LABEL = 10;

/** A label and text beside it, which goes on under itself, `hang` columns further in. */
export function labelled(paint: Paint, label: string, text: string, hang = 0): string {
  const rest = wrap(text, " ".repeat(LABEL + hang), undefined, " ".repeat(LABEL)).slice(LABEL);
  return `${paint("dim", label.padEnd(LABEL))}${rest}`;
}
