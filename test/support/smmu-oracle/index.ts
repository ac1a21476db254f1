/**
 * The oracle's top level: the order of checks of one request (IHI 0070 3.3, 3.4, 3.9, 7.3), and what the
 * device is told.
 */
import type { Request } from "../../../src/iommu.ts";
import { bypassAttributes, outputAttributes } from "./attributes.ts";
import { type Cd, decodeCd, fetchCd, selectSubstream } from "./context.ts";
import {
  type Access,
  bit,
  bits,
  CLASS,
  EVENT,
  type Features,
  featuresOf,
  type OracleFault,
  type OracleMemory,
  type OracleOutcome,
  type OracleState,
  type OracleTranslation,
  type Walk,
  WalkFault,
} from "./model.ts";
import { stage1 } from "./stage1.ts";
import { completionRights, grantsAnything, stage2 } from "./stage2.ts";
import { decodeSte, fetchSte, type Ste } from "./stream.ts";

export type * from "./model.ts";

/** Where a request had got to when it failed. */
interface Progress {
  ste?: Ste;
  cd?: Cd;
  access: Access;
}

/** Walks one request. */
export function smmuOracle(memory: OracleMemory, state: OracleState, request: Request): OracleOutcome {
  const f = featuresOf(state);
  const progress: Progress = { access: accessOf(request) };
  try {
    if (!bit([BigInt(state.cr0 >>> 0)], 0)) return disabled(f, state, request);
    return enabled(memory, f, state, request, progress);
  } catch (stop) {
    if (!(stop instanceof WalkFault)) throw stop;
    return answer(f, state, request, progress, stop);
  }
}

/** IHI 0070 13.7: without a PASID a translation request is user data; so is every translated request. */
function accessOf({ access = "r", privileged = false, type, noWrite = false, pasid }: Request): Access {
  const request = type === "translation";
  const plain = type === "translated" || (request && (pasid === undefined || pasid === null));
  return {
    read: request || access !== "w",
    write: request ? !noWrite : access === "w" || access === "a",
    instruction: access === "x" && !plain,
    privileged: privileged && !plain,
  };
}

/** SMMUEN = 0: everything passes or everything aborts, ATS is refused. */
function disabled(f: Features, state: OracleState, request: Request): OracleOutcome {
  if (request.type === "translation") throw new WalkFault(EVENT.F_BAD_ATS_TREQ);
  if (request.type === "translated") throw new WalkFault(EVENT.F_TRANSL_FORBIDDEN);
  const gbpa = [BigInt((state.gbpa ?? 0) >>> 0)];
  if (bit(gbpa, 20) || request.address >> BigInt(f.oas)) throw new WalkFault(0);
  return bypass(request.address, bypassAttributes(f, { words: gbpa, shift: 0, shcfg: 12 }));
}

function bypass(address: bigint, attributes: OracleTranslation["attributes"]): OracleTranslation {
  return {
    ok: true,
    answer: "success",
    address,
    pageSize: 1n << 64n,
    permissions: { read: true, write: true, execute: true },
    attributes,
    bypass: true,
  };
}

function enabled(
  memory: OracleMemory,
  f: Features,
  state: OracleState,
  request: Request,
  progress: Progress,
): OracleOutcome {
  const atsCheck = f.ats && bit([BigInt(state.cr0 >>> 0)], 4);
  if (request.type === "translated" && !atsCheck) return passTranslated(f, request);
  const ste = decodeSte(f, state, fetchSte(memory, f, state, BigInt(request.sid)));
  if (!ste) throw new WalkFault(0, { stage: -1 });
  progress.ste = ste;
  const incoming = progress.access;
  progress.access = override(f, ste, incoming);
  const eats = ste.eats === 2 && !atsCheck ? 0 : ste.eats;
  const collect = request.type === "translation";
  const walk: Walk = {
    memory,
    features: f,
    request,
    access: progress.access,
    collect: collect ? { execute: incoming.instruction, reads: readsAs(f, ste) } : undefined,
  };
  if (collect && eats === 0) throw new WalkFault(EVENT.F_BAD_ATS_TREQ);
  if (request.type === "translated") {
    if (eats === 0) throw new WalkFault(EVENT.F_TRANSL_FORBIDDEN);
    if (eats === 1) return passTranslated(f, request);
    if (request.address >> BigInt(f.ias)) throw new WalkFault(EVENT.F_ADDR_SIZE, { class: CLASS.IN });
    return secondStage(walk, ste, request.address);
  }
  const ssid = request.pasid === undefined || request.pasid === null ? undefined : BigInt(request.pasid);
  const substream = selectSubstream(f, ste, ssid);
  const split = collect && eats === 2;
  if (substream === "bypass") {
    const passed = firstStageBypassed(walk, ste);
    // IHI 0070 13.6.5: split-stage completions give back the address that stage 2 would take.
    return split ? { ...passed, address: request.address } : passed;
  }
  const cd = decodeCd(f, ste, fetchCd(walk, ste, substream));
  progress.cd = cd;
  const first = stage1(walk, ste, cd, request.address);
  if (!ste.stage2) {
    const attributes = outputAttributes(f, ste, { cd, first });
    return translated(walk, first.address, first.log2Size, first.rights, attributes);
  }
  // Nothing granted by stage 1 ends a translation request before stage 2.
  if (walk.collect && !grantsAnything(walk, first.rights)) throw new WalkFault(EVENT.F_PERMISSION, { stage: 1 });
  const second = stage2(walk, ste, first.address, walk.access, CLASS.IN, first.rights);
  return translated(
    walk,
    split ? first.address : second.address,
    Math.min(first.log2Size, second.log2Size),
    second.rights,
    outputAttributes(f, ste, { cd, first, second }),
  );
}

/** A translated request that is believed: only its size is looked at. */
function passTranslated(f: Features, { address }: Request): OracleTranslation {
  if (address >> BigInt(f.oas)) throw new WalkFault(0);
  return bypass(address, bypassAttributes(f, undefined));
}

function firstStageBypassed(walk: Walk, ste: Ste): OracleTranslation {
  const { address } = walk.request;
  const reach = ste.config === 4 ? walk.features.oas : walk.features.ias;
  if (address >> BigInt(reach)) throw new WalkFault(EVENT.F_ADDR_SIZE, { class: CLASS.IN });
  if (ste.stage2) return secondStage(walk, ste, address);
  const passed = bypass(address, bypassAttributes(walk.features, { words: ste.words, shift: 96, shcfg: 108 }));
  return walk.collect ? { ...passed, permissions: { read: true, write: true, execute: false } } : passed;
}

function secondStage(walk: Walk, ste: Ste, ipa: bigint): OracleTranslation {
  const second = stage2(walk, ste, ipa, walk.access, CLASS.IN);
  const attributes = outputAttributes(walk.features, ste, { second });
  return translated(walk, second.address, second.log2Size, second.rights, attributes);
}

function translated(
  walk: Walk,
  address: bigint,
  log2Size: number,
  rights: OracleTranslation["permissions"],
  attributes: OracleTranslation["attributes"],
): OracleTranslation {
  const permissions = walk.collect ? completionRights(walk, rights) : rights;
  return {
    ok: true,
    answer: "success",
    address,
    pageSize: 1n << BigInt(log2Size),
    permissions,
    attributes,
    bypass: false,
  };
}

/** How INSTCFG has reads judged. */
function readsAs(f: Features, ste: Ste): "incoming" | "data" | "instruction" {
  const instcfg = f.overridePermissions ? bits(ste.words, 115, 114) : 0;
  return instcfg < 2 ? "incoming" : instcfg === 2 ? "data" : "instruction";
}

/** PRIVCFG and INSTCFG; writes stay data. */
function override(f: Features, ste: Ste, access: Access): Access {
  if (!f.overridePermissions) return access;
  const privcfg = bits(ste.words, 113, 112);
  const instcfg = bits(ste.words, 115, 114);
  return {
    ...access,
    privileged: privcfg < 2 ? access.privileged : privcfg === 3,
    instruction: instcfg < 2 || access.write ? access.instruction : instcfg === 3,
  };
}

/** Whether an event is written and what the device gets, from where the fault was found. */
function answer(
  f: Features,
  state: OracleState,
  request: Request,
  { ste, cd, access }: Progress,
  stop: WalkFault,
): OracleOutcome {
  const related = stop.code >= EVENT.F_TRANSLATION;
  const fault: OracleFault = {
    ok: false,
    answer: "abort",
    code: stop.code,
    recorded: stop.code !== 0,
    stage: Math.max(stop.stage, 0),
    class: stop.class,
    ipa: stop.ipa,
    fetchAddress: stop.fetchAddress,
    tableWrite: stop.tableWrite,
    privileged: access.privileged,
    instruction: access.instruction && access.read && !access.write,
  };
  if (stop.code === EVENT.C_BAD_STREAMID) fault.recorded = bit([BigInt((state.cr2 ?? 0) >>> 0)], 1);
  if (request.type === "translation") return completion(f, fault, stop);
  if (request.type === "translated") {
    const forbidden = stop.code === EVENT.F_TRANSL_FORBIDDEN;
    const configuration = !forbidden && !ste;
    // RECINVSID has no say here.
    if (configuration) return { ...fault, recorded: stop.code !== 0 && f.recordAts };
  }
  if (!related || stop.stage === 0) return fault;
  if (stop.stage === 2) {
    return ste?.s2.stall ? { ...fault, answer: "stall" } : { ...fault, recorded: ste?.s2.record ?? false };
  }
  if (cd?.stall) return { ...fault, answer: "stall" };
  return { ...fault, answer: cd?.abort ? "abort" : "raz-wi", recorded: cd?.record ?? false };
}

/** The completion of a translation request that found nothing to translate to. */
function completion(f: Features, fault: OracleFault, stop: WalkFault): OracleOutcome {
  if (stop.code === EVENT.F_BAD_ATS_TREQ) return { ...fault, answer: "ur" };
  if (stop.code === 0) return { ...fault, answer: "ur" };
  if (stop.code < EVENT.F_TRANSLATION) return { ...fault, answer: "ca", recorded: fault.recorded && f.recordAts };
  return { ...bypass(0n, bypassAttributes(f, undefined)), permissions: { read: false, write: false, execute: false } };
}
