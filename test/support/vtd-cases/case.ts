/** Random VT-d units, tables and requests, for the walker and the oracle to agree on. */
import * as fc from "fast-check";
import { Choices } from "../choices.ts";
import { Capabilities, type OracleRequest, type OracleState } from "../vtd-oracle/index.ts";
import { type Mutation, mutate, mutation } from "./mutations.ts";
import { makeRequest, type RequestSeed, request, type Target } from "./requests.ts";
import { addressOf, type PageTables, TableWriter } from "./tables.ts";
import { unitState } from "./unit.ts";

/** A unit, its memory, and what devices ask of it. */
export interface VtdCase {
  state: OracleState;
  words: ReadonlyMap<bigint, bigint>;
  poisoned: readonly bigint[];
  requests: readonly OracleRequest[];
}

const tape = (length: number) =>
  fc.array(fc.integer({ min: 0, max: 0xffff_ffff }), { minLength: length, maxLength: length });

export const MAX_REQUESTS = 12;

/** Cases of up to MAX_REQUESTS requests over one set of tables. */
export const vtdCase: fc.Arbitrary<VtdCase> = fc
  .record({
    unit: tape(24),
    tables: tape(260),
    mutations: fc.oneof(
      { weight: 4, arbitrary: fc.constant<Mutation[]>([]) },
      { weight: 5, arbitrary: fc.array(mutation, { minLength: 1, maxLength: 3, size: "max" }) },
    ),
    requests: fc.array(request, { minLength: 1, maxLength: MAX_REQUESTS, size: "max" }),
  })
  .map(({ unit, tables, mutations, requests }) => {
    const state = unitState(new Choices(unit));
    const caps = new Capabilities(state);
    const ioRights = caps.ssIoRights && ((state.rtaddr >> 7n) & 1n) === 1n;
    return buildVtdCase(state, new TableWriter(new Choices(tables), caps, ioRights), mutations, requests);
  });

/** Tables by `writer` for a unit in `state`, whose RTADDR gets their address; then broken, and asked. */
export function buildVtdCase(
  state: OracleState,
  writer: TableWriter,
  mutations: readonly Mutation[],
  seeds: readonly RequestSeed[],
): VtdCase {
  const root = writer.page();
  const mode = (state.rtaddr >> 10n) & 3n;
  state.rtaddr |= root;
  const targets = mode === 0n ? legacyTables(writer, root) : scalableTables(writer, root);
  const poisoned: bigint[] = [];
  for (const one of mutations) mutate(one, state, writer, poisoned);
  return { state, words: writer.words, poisoned, requests: seeds.map((seed) => makeRequest(seed, state, targets)) };
}

function sids(writer: TableWriter): number[] {
  return Array.from({ length: 1 + writer.choices.below(2) }, () => writer.sid());
}

function domain({ choices, caps }: TableWriter): bigint {
  return choices.bits(caps.domainBits) || 1n;
}

function supportedWidth({ choices, caps }: TableWriter): number {
  return choices.pick([2, 3, 1].filter((aw) => caps.widthSupported(aw)));
}

function legacyTables(writer: TableWriter, root: bigint): Target[] {
  const { choices, caps } = writer;
  const targets: Target[] = [];
  for (const sid of sids(writer)) {
    const context = writer.page();
    writer.put("root", root + 16n * BigInt(sid >> 8), [context | 1n, 0n]);
    const types = [0n, ...(caps.deviceTlb ? [1n, 1n] : []), ...(caps.passThrough ? [2n] : [])];
    const type = choices.chance(4) ? choices.pick([3n, 1n, 2n]) : choices.pick(types);
    const aw = type === 2n ? caps.widestWidth() : supportedWidth(writer);
    const tables: PageTables = {
      type: 2,
      aw,
      fiveLevels: false,
      extendedAccessed: false,
      ssRoot: writer.page(),
      fsRoot: 0n,
    };
    const fpd = choices.chance(10) ? 2n : 0n;
    writer.put("context", context + 16n * BigInt(sid & 0xff), [
      tables.ssRoot | (type << 2n) | fpd | 1n,
      BigInt(aw) | (choices.chance(20) ? choices.bits(4) << 3n : 0n) | (domain(writer) << 8n),
    ]);
    for (let i = 0; i <= choices.below(3); i++)
      targets.push({ sid, pasid: null, address: secondTarget(writer, tables) });
  }
  return targets;
}

function secondTarget(writer: TableWriter, tables: PageTables): bigint {
  const { choices, caps } = writer;
  const address = choices.bits(caps.inputBits(tables.aw));
  const level = writer.leafLevel((caps.sslps & 1n) === 1n, (caps.sslps & 2n) === 2n);
  writer.mapSecond(tables, address, level, writer.output(pageSize(level)));
  return address;
}

function pageSize(level: number): bigint {
  return 1n << BigInt(12 + 9 * (level - 1));
}

function scalableTables(writer: TableWriter, root: bigint): Target[] {
  const { choices, caps } = writer;
  const targets: Target[] = [];
  for (const sid of sids(writer)) {
    const contexts = writer.page();
    const upper = (sid & 0x80) !== 0;
    const garbage = choices.chance(20) ? choices.bits(64) & ~1n : 0n;
    const half = contexts | 1n;
    writer.put("root", root + 16n * BigInt(sid >> 8), upper ? [garbage, half] : [half, garbage]);
    const pdts = choices.chance(60) ? choices.below(3) : choices.below(8);
    const limit = 1 << (pdts + 13);
    const pasid = () => Math.min(limit - 1, choices.pick([64, 1, 0, 63, 4097, limit - 1, choices.below(0x10000) * 16]));
    const ridPasid = caps.ridPasid && choices.chance(50) ? pasid() : 0;
    const directory = BigInt(choices.below(8)) * 4096n;
    const hostPermissions = caps.hostPermissions && choices.chance(30);
    writer.put(
      "context",
      contexts + 32n * BigInt(sid & 0x7f),
      contextEntry(writer, directory, pdts, ridPasid, hostPermissions),
    );
    const pasids = [ridPasid, ...Array.from({ length: 1 + choices.below(2) }, pasid)];
    for (const [i, one] of pasids.entries()) {
      const mapped = pasidTables(writer, directory, one, hostPermissions);
      for (const address of mapped) targets.push({ sid, pasid: i === 0 ? null : one, ...address });
    }
  }
  return targets;
}

function contextEntry(
  { choices, caps }: TableWriter,
  directory: bigint,
  pdts: number,
  ridPasid: number,
  hostPermissions: boolean,
): bigint[] {
  const inconsistent = choices.chance(5);
  const deviceTlb = caps.deviceTlb && !choices.chance(inconsistent ? 50 : 8);
  const pasidEnabled = caps.pasid && !choices.chance(inconsistent ? 50 : 5);
  let low = directory | (BigInt(pdts) << 9n) | 1n;
  if (choices.chance(6)) low |= 2n;
  if (deviceTlb) low |= 4n;
  if (pasidEnabled) low |= 8n;
  if ((deviceTlb || inconsistent) && caps.pageRequests && choices.chance(50)) low |= 16n;
  if (hostPermissions) low |= 32n;
  if ((pasidEnabled || inconsistent) && caps.pasidInTranslated && !choices.chance(20)) low |= 64n;
  if (inconsistent && caps.ridPasid) ridPasid |= choices.below(2) << 19;
  return [low, BigInt(ridPasid) | (caps.ridPriv && choices.chance(30) ? 1n << 20n : 0n), 0n, 0n];
}

/** Directory entry, table entry and page tables of one PASID; the addresses that they map. */
function pasidTables(
  writer: TableWriter,
  directory: bigint,
  pasid: number,
  hostPermissions: boolean,
): { address: bigint; host?: boolean }[] {
  const { choices, caps } = writer;
  const directoryEntry = directory + 8n * BigInt(pasid >> 6);
  let table = addressOf(writer.read(directoryEntry));
  if (table === 0n) {
    table = writer.page();
    writer.put("directory", directoryEntry, [table | (choices.chance(5) ? 2n : 0n) | 1n]);
  }
  const types = [
    ...(caps.firstStage ? [1, 1] : []),
    ...(caps.secondStage ? [2, 2] : []),
    ...(caps.nesting ? [3, 3, 3] : []),
    ...(caps.passThrough ? [4] : []),
  ];
  const type = types.length > 0 ? choices.pick(types) : 1;
  const host = new Map<bigint, bigint>();
  const tables: PageTables = {
    type,
    aw: supportedWidth(writer),
    fiveLevels: caps.fs5lp && choices.chance(40),
    extendedAccessed: caps.extendedAccessed && choices.chance(40),
    ssRoot: 0n,
    fsRoot: 0n,
  };
  if (type === 2 || type === 3) tables.ssRoot = writer.page(2);
  if (type === 1 || type === 3) tables.fsRoot = writer.firstTable(tables, host, 3);
  if (type === 3 && choices.chance(2)) tables.fsRoot |= 1n << BigInt(caps.inputBits(tables.aw));
  const hostRoot = hostPermissions ? writer.page(3) : 0n;
  writer.put("pasid", table + 64n * BigInt(pasid & 63), pasidEntry(writer, tables, hostRoot));
  const count = 1 + choices.below(3);
  const mapped: { address: bigint; host?: boolean }[] = [];
  for (let i = 0; i < count; i++) mapped.push({ address: mapOne(writer, tables, host) });
  if (hostRoot !== 0n) {
    const address = choices.chance(8) ? 0xfee0_1000n : choices.bits(Math.min(caps.haw, 49));
    writer.mapHost(hostRoot, address);
    for (let i = 0; i < 3; i++) mapped.push({ address, host: true });
  }
  return mapped;
}

function mapOne(writer: TableWriter, tables: PageTables, host: Map<bigint, bigint>): bigint {
  const { choices, caps } = writer;
  if (tables.type === 4) return choices.bits(caps.haw);
  if (tables.type === 2) return secondTarget(writer, tables);
  const width = tables.fiveLevels ? 57 : 48;
  const low = choices.bits(width - 1);
  const address = choices.chance(25) ? low | (((1n << BigInt(65 - width)) - 1n) << BigInt(width - 1)) : low;
  const level = writer.leafLevel(true, caps.fs1gp);
  if (tables.type === 1) {
    writer.mapFirst(tables, address, level, writer.output(pageSize(level)), host);
    return address;
  }
  const beyond = choices.chance(15) ? 1n << BigInt(caps.inputBits(tables.aw)) : 0n;
  const guest = (choices.bits(caps.inputBits(tables.aw)) & ~(pageSize(level) - 1n)) | beyond;
  if (beyond !== 0n) {
    writer.mapFirst(tables, address, level, guest, host);
    return address;
  }
  writer.mapFirst(tables, address, level, guest, host);
  const second = writer.leafLevel((caps.sslps & 1n) === 1n, (caps.sslps & 2n) === 2n);
  const input = guest | (address & (pageSize(level) - 1n));
  writer.mapSecond(tables, input, second, writer.output(pageSize(second)));
  return address;
}

function pasidEntry(writer: TableWriter, tables: PageTables, hostRoot: bigint): bigint[] {
  const { choices, caps } = writer;
  const { type, aw } = tables;
  const second = type === 2 || type === 3;
  const entry = [0n, 0n, 0n, 0n, 0n, 0n, 0n, 0n];
  entry[0] = tables.ssRoot | (BigInt(type) << 6n) | (second || choices.chance(20) ? BigInt(aw) << 2n : 0n) | 1n;
  if (choices.chance(5)) entry[0] |= 2n;
  if (caps.secondStage && caps.secondStageAD && choices.chance(60)) entry[0] |= 1n << 9n;
  entry[1] = domain(writer);
  if (caps.walkSnoop && !choices.chance(12)) entry[1] |= 1n << 23n;
  if (caps.snoopControl && choices.chance(30)) entry[1] |= 1n << 24n;
  if (caps.memoryTypes && choices.chance(30))
    entry[1] |= (choices.bits(2) << 25n) | ((0x0007_0406_0007_0406n << 32n) & 0xffff_ffff_0000_0000n);
  entry[2] = tables.fsRoot | (tables.fiveLevels ? 4n : 0n);
  if (caps.supervisorRequests && !choices.chance(20)) entry[2] |= 1n;
  if (caps.firstStage && choices.chance(40)) entry[2] |= 16n;
  if (choices.chance(20)) entry[2] |= choices.bits(2) << 5n;
  if (tables.extendedAccessed) entry[2] |= 128n;
  if (hostRoot !== 0n) {
    entry[4] = hostRoot | BigInt(choices.below(4));
    entry[5] = domain(writer);
  }
  return entry;
}
