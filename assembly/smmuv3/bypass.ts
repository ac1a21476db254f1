/** Transactions that no table translates. IHI 0070 3.11.1 (GBPA), 5.2 (Config), 3.9 (ATS). */
import { below, get, has, put } from "../bits";
import { PERMISSION, REQUEST_FLAG, RESULT_FLAG } from "../layout/core";
import { MEMORY_TYPE, SHAREABILITY } from "../layout/smmuv3";
import { EVENT_CLASS, EVENT_NUMBER } from "../layout/smmuv3-faults";
import { GBPA } from "../layout/smmuv3-registers";
import { ATTRIBUTE, CHECK, EXTRA, SMMU, WORLD } from "../layout/smmuv3-unit";
import { finish } from "../result";
import { check } from "../modes";
import { effectiveFlags } from "./access";
import { attributes, incomingByGbpa, incomingBySte } from "./attributes";
import { conclude, fail, failStage } from "./fault";

/** A bypass is good for all addresses. */
const EVERYTHING: u64 = 64;
const ALL_RIGHTS: u32 = PERMISSION.READ | PERMISSION.WRITE | PERMISSION.EXECUTE;

/** § 3.11.1 the SMMU is disabled. Returns the event. */
export function bypassByGbpa<T>(unit: usize, pasid: u32, address: u64, flags: u32, result: usize): i32 {
  const gbpa = <u64>load<u32>(unit, SMMU.GBPA);
  const id = has(gbpa, GBPA.ABORT) ? CHECK.GBPA_ABORT : CHECK.GBPA_SIZE;
  // § 6.3.14 GBPA.ABORT; § 3.4 OAS
  if (check<T>(unit, id, has(gbpa, GBPA.ABORT) || address > below(load<u32>(unit, SMMU.OAS)))) {
    fail<T>(result, 0, id, 0, 0);
    return conclude<T>(unit, 0, 0, pasid, flags, result);
  }
  const seen = effectiveFlags(unit, flags, get(gbpa, GBPA.PRIVCFG), get(gbpa, GBPA.INSTCFG));
  return pass(address, incomingByGbpa(unit), pasid, seen, result);
}

/** § 3.4 no stage 1 and no stage 2, by Config (`isWhole`) or by S1DSS. Returns the event. */
export function bypassBySte<T>(
  unit: usize,
  ste: usize,
  pasid: u32,
  address: u64,
  isWhole: bool,
  flags: u32,
  result: usize,
): i32 {
  const limit = load<u32>(unit + (isWhole ? SMMU.OAS : SMMU.IAS));
  const id = isWhole ? CHECK.BYPASS_SIZE : CHECK.IAS_SIZE;
  if (check<T>(unit, id, address > below(limit))) {
    failStage<T>(result, EVENT_NUMBER.F_ADDR_SIZE, id, 0, EVENT_CLASS.IN, 0, 0, 0, 0);
    return conclude<T>(unit, ste, 0, pasid, flags, result);
  }
  return pass(address, incomingBySte(unit, ste), pasid, flags, result);
}

/** § 3.9.1 a translated transaction that is taken as it is. Returns the event, which is none. */
export function passTranslated<T>(unit: usize, pasid: u32, address: u64, flags: u32, result: usize): i32 {
  // § 3.4 OAS
  if (check<T>(unit, CHECK.ATS_SIZE, address > below(load<u32>(unit, SMMU.OAS)))) {
    fail<T>(result, 0, CHECK.ATS_SIZE, 0, 0);
    return conclude<T>(unit, 0, 0, pasid, flags, result);
  }
  const plain = attributes(MEMORY_TYPE.WRITE_BACK, SHAREABILITY.NON_SHAREABLE, flags);
  return pass(address, plain, pasid, flags, result);
}

function pass(address: u64, type: u32, pasid: u32, flags: u32, result: usize): i32 {
  const outgoing = attributes(<u32>get(<u64>type, ATTRIBUTE.TYPE), <u32>get(<u64>type, ATTRIBUTE.SH), flags);
  finish(
    result,
    RESULT_FLAG.BYPASS | RESULT_FLAG.DIRTY,
    address,
    EVERYTHING,
    ALL_RIGHTS,
    outgoing,
    0,
    flags & REQUEST_FLAG.PASID ? pasid : 0,
    put(0, EXTRA.WORLD, WORLD.NONE),
  );
  return 0;
}
