/** SMMUv3's structures by name (Arm IHI 0070; translation tables: DDI 0487 D8.3). */
import { CD, CONFIG, L1CD, PTE, STE } from "../../assembly/layout/smmuv3.ts";
import { EVENT_NUMBER } from "../../assembly/layout/smmuv3-faults.ts";
import { COMMAND, EVENT, OPCODE } from "../../assembly/layout/smmuv3-queues.ts";
import { hex } from "../check.ts";
import { getField } from "../structure.ts";
import type { Shape } from "./shape.ts";
import { smmuShape } from "./shapes/smmuv3.ts";
import {
  AIDR_SHAPE,
  CMDQ_CONS_SHAPE,
  GERROR_SHAPE,
  IDR0_SHAPE,
  IDR1_SHAPE,
  IDR3_SHAPE,
  IDR5_SHAPE,
  IIDR_SHAPE,
} from "./shapes/smmuv3-ids.ts";
import { commandShape, eventShape, PRI_SHAPE } from "./shapes/smmuv3-queues.ts";
import type { Family, Structure } from "./structure.ts";

type Words = readonly bigint[];

const has = (field: number) => (words: Words) => getField(words, field) === 1n;

/** What a bit without a name is, where hardware ignores it. */
const RES0 = "RES0 or IMPLEMENTATION DEFINED; v3.2 hardware ignores it";

function table(name: string, section: string, words: number, called: string, rest: Partial<Structure> = {}): Structure {
  return {
    name: `smmu.${name}`,
    section: `IHI 0070 ${section}`,
    words,
    shape: (entry) => smmuShape({ structure: called, stage: 0, level: 0, words: entry }) as Shape,
    strict: true,
    unnamed: RES0,
    ...rest,
  };
}

const TABLES: readonly Structure[] = [
  table("l1std", "5.1", 1, "L1STD"),
  table("ste", "5.2", 8, "STE", {
    present: has(STE.V),
    // § 5.2: Config says which stages, hence which fields, are in use.
    ignored: (words) => {
      const config = Number(getField(words, STE.Config));
      const stage1 = config === CONFIG.STAGE1 || config === CONFIG.NESTED;
      const stage2 = config === CONFIG.STAGE2 || config === CONFIG.NESTED;
      return [
        ...(stage1 ? [] : ["S1Fmt", "S1DSS", "S1CSH", "STRW"]),
        ...(stage2 ? ["STRW"] : ["S2SH0", "S2TG", "S2PS"]),
        ...(stage1 || stage2 ? [] : ["EATS"]),
      ];
    },
  }),
  table("l1cd", "5.3", 1, "L1CD", { present: has(L1CD.V) }),
  table("cd", "5.4", 8, "CD", {
    present: has(CD.V),
    // § 5.4: nothing about a table that is not walked counts.
    ignored: (words) => [
      ...(has(CD.EPD0)(words) ? ["TG0", "SH0"] : []),
      ...(has(CD.EPD1)(words) ? ["TG1", "SH1"] : []),
    ],
  }),
];

const LEVELS = [0, 1, 2, 3];
const LAST_LEVEL = 3;

/** Translation table descriptors: the name without a level is level 3. */
function descriptors(stage: number): Structure[] {
  return [undefined, ...LEVELS].map((suffix) => {
    const level = suffix ?? LAST_LEVEL;
    return {
      name: `smmu.s${stage}-pte${suffix === undefined ? "" : `.level${level}`}`,
      section: "DDI 0487 D8.3",
      words: 1,
      shape: (words) => smmuShape({ structure: "descriptor", stage, level, words }) as Shape,
      present: has(PTE.VALID),
    };
  });
}

const register = (name: string, section: string, shape: Shape): Structure => ({
  name: `smmu.${name}`,
  section: `IHI 0070 ${section}`,
  words: 1,
  bits: 32,
  shape: () => shape,
  strict: true,
  unnamed: "RES0, or of a later version",
});

const REGISTERS: readonly Structure[] = [
  register("idr0", "6.3.1", IDR0_SHAPE),
  register("idr1", "6.3.2", IDR1_SHAPE),
  register("idr3", "6.3.4", IDR3_SHAPE),
  register("idr5", "6.3.6", IDR5_SHAPE),
  register("iidr", "6.3.7", IIDR_SHAPE),
  register("aidr", "6.3.8", AIDR_SHAPE),
  register("gerror", "6.3.18", GERROR_SHAPE),
  register("cmdq-cons", "6.3.28", CMDQ_CONS_SHAPE),
];

/** Names and numbers of an enum. */
function members(numbers: Readonly<Record<string, string | number>>): [string, number][] {
  return Object.entries(numbers).filter((entry): entry is [string, number] => typeof entry[1] === "number");
}

const EVENTS: readonly (Structure & { number: number })[] = members(EVENT_NUMBER).map(([name, number]) => ({
  number,
  name: `smmu.event.${name}`,
  section: "IHI 0070 7.3",
  words: 4,
  shape: () => eventShape(number) as Shape,
  strict: true,
  unnamed: "RES0 or IMPLEMENTATION DEFINED",
  preset: { Number: BigInt(number) },
}));

const COMMANDS: readonly (Structure & { number: number })[] = members(OPCODE).map(([name, number]) => ({
  number,
  name: `smmu.command.${name}`,
  section: "IHI 0070 4",
  words: 2,
  shape: (words) => commandShape(words, number) as Shape,
  strict: true,
  unnamed: "RES0",
  preset: { OPCODE: BigInt(number) },
}));

const FAMILIES: readonly Family[] = [
  {
    name: "smmu.event",
    title: "Event record",
    section: "IHI 0070 7.3",
    words: 4,
    members: EVENTS,
    selector: (words) => `event ${hex(getField(words, EVENT.Number), 2)}`,
    pick: (words) => EVENTS.find(({ number }) => number === Number(getField(words, EVENT.Number))),
  },
  {
    name: "smmu.command",
    title: "Command",
    section: "IHI 0070 4",
    words: 2,
    members: COMMANDS,
    selector: (words) => `opcode ${hex(getField(words, COMMAND.OPCODE), 2)}`,
    pick: (words) => COMMANDS.find(({ number }) => number === Number(getField(words, COMMAND.OPCODE))),
  },
];

export const SMMU_STRUCTURES: { structures: readonly Structure[]; families: readonly Family[] } = {
  structures: [
    ...TABLES,
    ...descriptors(1),
    ...descriptors(2),
    { name: "smmu.pri", section: "IHI 0070 8", words: 2, shape: () => PRI_SHAPE, strict: true, unnamed: "RES0" },
    ...REGISTERS,
  ],
  families: FAMILIES,
};
