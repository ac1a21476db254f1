/** Every structure that `decode`, `encode` and `fields` know, by name. */
import { SMMU_STRUCTURES } from "./catalogue-smmuv3.ts";
import { VTD_STRUCTURES } from "./catalogue-vtd.ts";
import type { Family, Structure } from "./structure.ts";

/** A structure, or a family that says by its contents which structure it is. */
export type CatalogueEntry = { structure: Structure } | { family: Family };

export const STRUCTURES: readonly Structure[] = [...VTD_STRUCTURES.structures, ...SMMU_STRUCTURES.structures];
export const FAMILIES: readonly Family[] = [...VTD_STRUCTURES.families, ...SMMU_STRUCTURES.families];

/** A structure or family by name, in any case. */
export function findEntry(name: string): CatalogueEntry | undefined {
  const wanted = name.toLowerCase();
  const family = FAMILIES.find((candidate) => candidate.name === wanted);
  if (family) return { family };
  const members = FAMILIES.flatMap((candidate) => candidate.members);
  const structure = [...STRUCTURES, ...members].find((candidate) => candidate.name.toLowerCase() === wanted);
  return structure && { structure };
}
