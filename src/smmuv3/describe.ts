/** A unit in words, for people. */
import { SMMU_CHOICES } from "./choices.ts";
import { oddities } from "./feature-rules.ts";
import { NOT_MODELLED } from "./features.ts";
import type { SmmuHardware } from "./hardware.ts";

/** Registers with their fields, queues, stalls; what is odd, what is not modelled, and what was chosen. */
export function describeUnit({ features, registers, rings, stalls }: SmmuHardware): string {
  const section = (title: string, lines: readonly string[]): string[] =>
    lines.length ? ["", title, ...lines.map((line) => `  ${line}`)] : [];
  return [
    `SMMUv3.${features.ArchMinorRev}`,
    registers.describe(),
    ...section(
      "Queues",
      Object.entries(rings).map(([name, ring]) => `${name}: ${ring.used} of ${ring.entries} entries used`),
    ),
    ...section("Stalled", [`${stalls.count} transactions`]),
    ...section("Odd", oddities(features)),
    ...section(
      "Not modelled",
      Object.entries(NOT_MODELLED).map(([name, what]) => `${name}: ${what}`),
    ),
    ...section(
      "Where the architecture leaves a choice",
      SMMU_CHOICES.map(({ section, when, outcome }) => `${section} ${when}: ${outcome}`),
    ),
  ].join("\n");
}
