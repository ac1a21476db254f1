/** A guest whose tables change under a caching walker, and the model of what may be answered. */
import { P_IOTLB_G, PC_G } from "../../assembly/layout/vtd-descriptors.ts";
import { GRANULARITY } from "../../assembly/layout/vtd-registers.ts";
import { type VtdCachePolicy, type VtdPageTable, VtdWalker } from "../../src/index.ts";
import { SID, VtdGuest } from "./vtd-guest.ts";
import type { OracleRequest, OracleState } from "./vtd-oracle/index.ts";
import { answerText, StaleMemory } from "./vtd-stale.ts";

const PAGE = 4096n;
/** A/D bits are set from the start, so that nothing but software writes. */
const FS = { P: 1, RW: 1, US: 1, A: 1, D: 1 };
const SS = { R: 1, W: 1 };
const DIDS = [5, 6, 7] as const;
/** FS, SS and pass-through PASIDs; the last is RID_PASID's second stage. */
const PASIDS = [1, 2, 3, 4] as const;
const RID = 4;
const INPUTS = [0x1000n, 0x2000n, 0x20_1000n, 0x4000_0000n] as const;
const SIDS = [SID, SID + 1] as const;

interface Entry {
  address: bigint;
  /** Values that software writes there. */
  values: readonly bigint[];
  stage: "context" | "pasid" | "iotlb";
  sid?: number;
  pasid?: number;
  did?: number;
  /** Input addresses below the entry, and whether it is a leaf. */
  first: boolean;
  base: bigint;
  reach: bigint;
  leaf: boolean;
}

export class StaleWorld {
  readonly log: string[] = [];
  readonly #guest = new VtdGuest({ workspace: 1 << 20 });
  readonly #walker: VtdWalker;
  readonly #model = new StaleMemory();
  readonly #entries: Entry[] = [];
  readonly #state: OracleState;

  constructor(policy: VtdCachePolicy) {
    const { tables, memory, state } = this.#guest;
    this.#walker = new VtdWalker(memory, state, policy);
    this.#state = { version: 0x10, haw: 46, translationEnabled: true, interruptRemapping: false, ...state };
    const first = tables.firstStage(4);
    const others = [tables.firstStage(4), tables.secondStage(2)];
    const second = tables.secondStage(2);
    for (const sid of SIDS) {
      tables.setScalableContext(sid, { PASIDE: 1, RID_PASID: RID });
      tables.setPasid(sid, 1, { PGTT: 1, DID: 5, PWSNP: 1 }, { first });
      tables.setPasid(sid, 2, { PGTT: 2, DID: 6 }, { second });
      tables.setPasid(sid, 3, { PGTT: 4, DID: 7 });
      tables.setPasid(sid, RID, { PGTT: 2, DID: 6 }, { second });
    }
    for (const input of INPUTS) {
      this.#map(first, input, FS, 5);
      this.#map(others[0] as VtdPageTable, input, FS, 5);
      this.#map(second, input, SS, 6);
      this.#map(others[1] as VtdPageTable, input, SS, 6);
    }
    this.#links(first, others[0] as VtdPageTable, 5);
    this.#links(second, others[1] as VtdPageTable, 6);
    for (const sid of SIDS) {
      const context = tables.contextEntry(sid);
      this.#add({ address: context, stage: "context", sid, values: [memory.read64(context), 0n] });
      for (const pasid of PASIDS) {
        const at = tables.pasidEntry(sid, pasid);
        const did = DIDS[[0, 0, 1, 2, 1][pasid] as number] as number;
        this.#add({
          address: at,
          stage: "pasid",
          sid,
          pasid,
          did,
          values: [memory.read64(at), memory.read64(at) & ~1n],
        });
      }
    }
    for (let at = 0x4_0000n; at < this.#guest.pages.next; at += 8n) {
      const entry = this.#entries.find(({ address }) => address === at);
      this.#model.declare(at, entry?.stage ?? "iotlb", memory.read64(at));
    }
  }

  /** A request; what it may be answered, what it was, and what a walk of the present tables says. */
  request(a: number, b: number, c: number): { permitted: ReadonlySet<string>; got: string; fresh: string } {
    const pasid = [null, ...PASIDS.slice(0, 3)][b % 4] as number | null;
    const request: OracleRequest = {
      sid: SIDS[a % SIDS.length] as number,
      pasid,
      address: (INPUTS[c % INPUTS.length] as bigint) + BigInt(a % 7) * 8n,
      access: c % 2 ? "w" : "r",
    };
    const permitted = this.#model.answers(this.#state, request);
    const got = answerText(this.#walker.translate(request));
    const fresh = answerText(this.#guest.walker.translate(request));
    this.log.push(`${request.sid.toString(16)} ${pasid} ${request.address.toString(16)} -> ${got}, fresh ${fresh}`);
    return { permitted, got, fresh };
  }

  /** Software stores another value in one entry. */
  change(a: number, b: number): void {
    const entry = this.#entries[a % this.#entries.length] as Entry;
    const value = entry.values[b % entry.values.length] as bigint;
    this.#guest.memory.write64(entry.address, value);
    this.#model.store(entry.address, value);
    this.log.push(`${entry.stage} ${entry.address.toString(16)} := ${value.toString(16)}`);
  }

  /** Software invalidates something. */
  invalidate(a: number, b: number, c: number): void {
    const { caches } = this.#walker;
    const did = DIDS[b % DIDS.length] as number;
    const pasid = PASIDS[c % PASIDS.length] as number;
    const sid = SIDS[b % SIDS.length] as number;
    const address = INPUTS[c % INPUTS.length] as bigint;
    const mask = [0, 0, 9, 18][b % 4] as number;
    const hint = (b & 8) !== 0;
    const size = PAGE << BigInt(mask);
    const start = address & ~(size - 1n);
    // A leaf goes when any address of its page is named. What is above may live on in whatever is
    // cached for the request's own page, so that page must be named.
    const page = (entry: Entry, input: bigint) =>
      entry.leaf
        ? entry.base < start + size && start < entry.base + entry.reach
        : !hint && input >= start && input < start + size;
    this.log.push(
      `invalidate ${a % 11} did ${did} pasid ${pasid} sid ${sid} at ${address.toString(16)} am ${mask} ih ${hint}`,
    );
    switch (a % 11) {
      case 0:
        caches?.invalidateContext(GRANULARITY.GLOBAL, 0, 0, 0, false);
        this.#done("context", () => true);
        break;
      case 1:
        caches?.invalidateContext(GRANULARITY.SELECTIVE, 0, sid, b % 4, false);
        this.#done("context", (entry) => entry.sid === sid || (b % 4 === 3 && entry.sid !== undefined));
        break;
      case 2:
        caches?.invalidatePasid(PC_G.GLOBAL, 0, 0);
        this.#done("pasid", () => true);
        break;
      case 3:
        caches?.invalidatePasid(PC_G.DOMAIN, did, 0);
        this.#done("pasid", (entry) => entry.did === did);
        break;
      case 4:
        caches?.invalidatePasid(PC_G.PASID, did, pasid);
        this.#done("pasid", (entry) => entry.did === did && entry.pasid === pasid);
        break;
      case 5:
        caches?.invalidateIotlb(GRANULARITY.GLOBAL, 0, 0n, 0, false);
        this.#done("iotlb", () => true);
        break;
      case 6:
        caches?.invalidateIotlb(GRANULARITY.DOMAIN, did, 0n, 0, false);
        this.#done("iotlb", (entry) => entry.did === did);
        break;
      case 7:
      case 8:
        caches?.invalidateIotlb(GRANULARITY.SELECTIVE, did, address, mask, hint);
        // First-stage entries of the domain go whatever the address; of a PASID entry, what IOTLB entries it made.
        this.#done(
          "iotlb",
          (entry, input) => entry.did === did && entry.stage === "iotlb" && (entry.first || page(entry, input)),
        );
        break;
      case 9:
        caches?.invalidatePasidIotlb(P_IOTLB_G.PASID, did, pasid, 0n, 0, false);
        // The second stage's own caches need not go; a PASID entry is no part of them.
        this.#done("iotlb", (entry) => {
          if (entry.did !== did) return false;
          return entry.stage === "pasid" ? entry.pasid === pasid && pasid !== RID : entry.first && pasid === 1;
        });
        break;
      default:
        caches?.invalidatePasidIotlb(P_IOTLB_G.PAGE, did, pasid, address, mask, hint);
        this.#done(
          "iotlb",
          (entry, input) =>
            entry.stage === "iotlb" && entry.did === did && entry.first && pasid === 1 && page(entry, input),
        );
        break;
    }
  }

  #done(stage: Entry["stage"], covers: (entry: Entry, input: bigint) => boolean): void {
    const byAddress = new Map(this.#entries.map((entry) => [entry.address, entry]));
    this.#model.invalidate({
      stage,
      covers: (address, input) => {
        const entry = byAddress.get(address);
        return entry !== undefined && covers(entry, input);
      },
    });
  }

  #map(table: VtdPageTable, input: bigint, fields: Record<string, number>, did: number): void {
    const output = input === 0x4000_0000n ? 0x8000_0000n : 0x10_0000n + input;
    const level = input === 0x4000_0000n ? 3 : 1;
    const shift = input === 0x4000_0000n ? 30n : 12n;
    const at = table.map(input, output, fields, level);
    const value = this.#guest.memory.read64(at);
    const first = did === 5;
    this.#add({
      address: at,
      stage: "iotlb",
      did,
      first,
      leaf: true,
      base: input,
      reach: 1n << shift,
      values: [value, value + (1n << shift), 0n, value & ~2n],
    });
  }

  /** Links of `table` that software may point into `other`. */
  #links(table: VtdPageTable, other: VtdPageTable, did: number): void {
    const { memory } = this.#guest;
    for (const level of [2, 3, 4]) {
      const at = table.entry(0x1000n, level) as bigint;
      const elsewhere = memory.read64(other.entry(0x1000n, level) as bigint);
      const reach = PAGE << BigInt(9 * (level - 1));
      const values = [memory.read64(at), elsewhere, 0n];
      this.#add({ address: at, stage: "iotlb", did, first: did === 5, leaf: false, base: 0n, reach, values });
    }
  }

  #add(entry: Partial<Entry> & Pick<Entry, "address" | "stage" | "values">): void {
    this.#entries.push({ first: false, base: 0n, reach: 0n, leaf: false, ...entry });
  }
}
