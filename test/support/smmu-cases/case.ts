/** One case: registers, tables, what was broken, and requests that mostly reach deep into them. */
import type { Access, AddressType, Request } from "../../../src/iommu.ts";
import type { Choices } from "../choices.ts";
import { type Features, featuresOf, type OracleState } from "../smmu-oracle/model.ts";
import { breakStructure, breakWords, CD_FIELDS, STE_FIELDS } from "./breakage.ts";
import { chooseState } from "./features.ts";
import { Image, put, REGIONS, type Region } from "./image.ts";
import { type ChosenCd, chooseCd, chooseStage2, chooseSte } from "./structures.ts";
import { buildStage1, type Naming, Stage2Builder, type Tables } from "./tables.ts";

export interface Case {
  state: OracleState;
  image: Image;
  requests: Request[];
  /** Where the stream's entry lies, and the CD where one was made. */
  ste: bigint;
  cd: bigint | undefined;
}

/** What a case is made for: a unit, memory, devices, and where their data lies. */
export interface Surroundings {
  state: OracleState;
  regions?: readonly Region[];
  /** StreamIDs that exist; any, unless told. */
  sids?: readonly number[];
  target?: () => bigint;
  /** Behind stage 2, the half that is not used has a table as well. */
  bothHalves?: boolean;
}

export function buildCase(
  c: Choices,
  requests: number,
  { state, regions = REGIONS, sids, target: chooseTarget, bothHalves = false }: Surroundings = {
    state: chooseState(c),
  },
): Case {
  const f = featuresOf(state);
  const image = new Image(c, f.oas, regions);
  const { words: ste, config } = chooseSte(c, f);
  const second = (config & 2) === 2 || c.chance(5) ? stage2Of(c, f, image, ste) : undefined;
  const name: Naming = second ? (physical, log2) => second.map(physical, log2) : (physical) => physical;
  const cdMax = Number((ste[0] as bigint) >> 59n);
  const ssid = chooseSubstream(c, ste, config, cdMax);
  const cd = chooseCd(c, f, ((ste[1] as bigint) >> 27n) % 2n === 1n);
  const target = chooseTarget ? chooseTarget() : c.bits(f.oas);
  let address: bigint;
  let cdAt: bigint | undefined;
  if ((config & 1) === 1 && !(ssid === undefined && cdMax > 0 && (ste[1] as bigint) % 4n === 1n)) {
    address = firstStage(c, image, cd, target, name, bothHalves);
    breakStructure(c, cd.words, CD_FIELDS);
    cdAt = placeCd(c, image, ste, cd.words, cdMax, BigInt(ssid ?? 0), name);
  } else {
    address = name(target, 0);
  }
  breakStructure(c, ste, STE_FIELDS);
  const { sid, at } = placeSte(c, f, image, state, ste, sids);
  breakWords(c, image, f.oas);
  const base: Request = { sid, pasid: ssid ?? null, address };
  const asked = Array.from({ length: requests }, () => vary(c, base));
  return { state, image, requests: asked, ste: at, cd: cdAt };
}

function stage2Of(c: Choices, f: Features, image: Image, ste: bigint[]): Stage2Builder {
  const tables = chooseStage2(c, f, ste);
  const base = image.place(tables.startLog2);
  put(ste, 243, 196, base >> 4n);
  return new Stage2Builder(c, image, { ...tables, base });
}

function chooseSubstream(c: Choices, ste: readonly bigint[], config: number, cdMax: number): number | undefined {
  if ((config & 1) === 0 || cdMax === 0) return undefined;
  const dss = Number((ste[1] as bigint) & 3n);
  if ((dss === 1 || dss === 2) && c.chance(40)) return undefined;
  // Small numbers keep linear tables within RAM; in two-level ones any number does.
  const linear = (Number((ste[0] as bigint) >> 4n) % 4) % 3 === 0;
  const reach = Math.min(cdMax, linear && !c.chance(5) ? 13 : 20);
  return Number(c.bits(reach));
}

/** Tables for an address in either half; the other half gets a plausible TTB. */
function firstStage(c: Choices, image: Image, cd: ChosenCd, target: bigint, name: Naming, bothHalves: boolean): bigint {
  const upper = c.chance(35) ? 1 : 0;
  const tables = cd.halves[upper] as Tables;
  const other = cd.halves[1 - upper] as Tables;
  const low = c.bits(tables.inputBits);
  const ignored = c.rarely(15, 8) << 56n;
  const va = upper ? low | (((1n << 64n) - 1n) ^ ((1n << BigInt(tables.inputBits)) - 1n)) : low;
  const ttb = buildStage1(c, image, tables, va, target, name);
  const place = image.place(other.startLog2);
  const unused = bothHalves ? name(place, other.startLog2) : place;
  const [ttb0, ttb1] = upper ? [unused, ttb] : [ttb, unused];
  put(cd.words, 115, 68, (ttb0 as bigint) >> 4n);
  put(cd.words, 179, 132, (ttb1 as bigint) >> 4n);
  return va ^ ignored;
}

function placeCd(
  c: Choices,
  image: Image,
  ste: bigint[],
  cd: readonly bigint[],
  cdMax: number,
  ssid: bigint,
  name: Naming,
): bigint {
  const format = Number(((ste[0] as bigint) >> 4n) & 3n) % 3;
  let pointer: bigint;
  let at: bigint;
  if (format === 0 || cdMax === 0) {
    const table = image.place(6 + cdMax);
    at = table + 64n * ssid;
    image.set(at, cd);
    pointer = name(at, 6 + cdMax) - 64n * ssid;
  } else {
    const leafBits = format === 1 ? 6 : 10;
    const leaf = image.place(leafBits + 6);
    const index = ssid & ((1n << BigInt(leafBits)) - 1n);
    at = leaf + 64n * index;
    image.set(at, cd);
    const leafName = name(at, leafBits + 6) - 64n * index;
    const log2 = Math.max(6, cdMax - leafBits + 3);
    const l1 = image.place(log2) + 8n * (ssid >> BigInt(leafBits));
    const valid = c.chance(4) ? 0n : 1n;
    image.set(l1, [leafName | valid]);
    pointer = name(l1, log2) - 8n * (ssid >> BigInt(leafBits));
  }
  put(ste, 55, 6, pointer >> 6n);
  return at;
}

/** Stores the STE and aims the registers at it. */
function placeSte(
  c: Choices,
  f: Features,
  image: Image,
  state: OracleState,
  ste: readonly bigint[],
  sids: readonly number[] | undefined,
): { sid: number; at: bigint } {
  const twoLevel = f.twoLevelStreams && !c.chance(40);
  const log2Size = c.chance(15) ? c.below(34) : Math.min(f.sidBits, 12);
  const splitField = c.chance(10) ? c.below(32) : c.pick([8, 6, 10]);
  const reach = Math.min(log2Size, f.sidBits, 32);
  const small = Math.min(reach, twoLevel ? 16 : 12);
  const sid = sids ? c.pick(sids) : Number(c.bits(small));
  state.strtabBaseCfg = log2Size | (splitField << 6) | ((twoLevel ? 1 : 0) << 16);
  if (!twoLevel) {
    const table = image.place(log2Size + 6);
    const at = table + 64n * BigInt(sid);
    image.set(at, ste);
    state.strtabBase = table;
    return { sid, at };
  }
  const split = [6, 8, 10].includes(splitField) ? splitField : 6;
  const span = c.chance(8) ? c.below(32) : split + 1;
  const leaf = image.place(6 + Math.min(Math.max(span - 1, 0), 10));
  const at = leaf + 64n * BigInt(sid % 2 ** split);
  image.set(at, ste);
  const table = image.place(Math.max(6, log2Size - split + 3));
  image.set(table + 8n * BigInt(Math.floor(sid / 2 ** split)), [leaf | BigInt(span)]);
  state.strtabBase = table;
  return { sid, at };
}

const TYPES: readonly AddressType[] = ["untranslated", "untranslated", "untranslated", "translation", "translated"];
const ACCESSES: readonly Access[] = ["r", "w", "x", "a", "r", "w"];

/** The same request with another access, and sometimes another address, substream or stream. */
function vary(c: Choices, base: Request): Request {
  const request: Request = {
    ...base,
    access: c.pick(ACCESSES),
    privileged: c.chance(40),
    type: c.pick(TYPES),
    noWrite: c.chance(40),
    probe: c.chance(8),
  };
  if (c.chance(10)) request.pasid = c.chance(65) ? null : Number(c.bits(c.chance(50) ? 20 : 1));
  if (c.chance(4)) request.sid = Number(c.bits(c.chance(50) ? 32 : 12));
  if (c.chance(6)) request.address ^= 1n << BigInt(c.below(64));
  if (c.chance(2)) request.address = c.bits(64);
  return request;
}
