import * as fc from "fast-check";
import { describe, expect, it } from "vitest";
import { Choices } from "../support/choices.ts";
import { runs, seed } from "../support/runs.ts";
import { GCMD, Rig, SID } from "../support/vtd-rig.ts";

const DTE_PASIDE = 12n;
/** Descriptors by name, as the specification lays them out. */
const cc = { global: [0x11n], device: (sid: number) => [0x31n | (BigInt(sid) << 32n)] };
const pc = {
  global: [0x37n],
  domain: (did: bigint) => [0x07n | (did << 16n)],
  pasid: (did: bigint, pasid: number) => [0x17n | (did << 16n) | (BigInt(pasid) << 32n)],
};
const iotlb = {
  global: [0x12n],
  domain: (did: bigint) => [0x22n | (did << 16n)],
  pages: (did: bigint, address: bigint, am = 0n) => [0x32n | (did << 16n), address | am],
};
const pIotlb = {
  pasid: (did: bigint, pasid: number) => [0x26n | (did << 16n) | (BigInt(pasid) << 32n)],
  pages: (did: bigint, pasid: number, address: bigint, am = 0n) => [
    0x36n | (did << 16n) | (BigInt(pasid) << 32n),
    address | am,
  ],
};

describe.each(["none", "sized", "retain"] as const)(
  "Caches %s and their invalidation, VT-d 5.10 6.2 to 6.5",
  (caches) => {
    /** A rig that drops nothing by itself: these tests are about what must be invalidated. */
    function cached(
      changes: ConstructorParameters<typeof Rig>[0] = {},
      options: ConstructorParameters<typeof Rig>[1] = {},
    ) {
      const rig = new Rig(changes, { caches, ...options });
      rig.settles = false;
      return rig;
    }

    it("VTD-087 a changed context entry: old or new until both cc_inv and iotlb_inv are done, then new", () => {
      const rig = cached();
      const { contextEntry, root } = rig.legacy({ did: 1n });
      rig.startQueue(false);
      rig.mapSecond(root, 4, 0x1000n, 0x5003n);
      expect(rig.read(0x1000n)).toBe("ok 5000");
      const other = rig.page();
      rig.mapSecond(other, 4, 0x1000n, 0x6003n);
      rig.put(contextEntry, other | 1n);
      expect(["ok 5000", "ok 6000"]).toContain(rig.read(0x1000n));
      expect(rig.invalidate(cc.global)).toBe(true);
      expect(["ok 5000", "ok 6000"]).toContain(rig.read(0x1000n));
      expect(rig.invalidate(iotlb.global)).toBe(true);
      expect(rig.read(0x1000n)).toBe("ok 6000");
      // The other way round: IOTLB first is not enough either, and a device-selective cc_inv does it.
      rig.put(contextEntry, root | 1n);
      expect(rig.invalidate(iotlb.domain(1n))).toBe(true);
      expect(["ok 5000", "ok 6000"]).toContain(rig.read(0x1000n));
      expect(rig.invalidate(cc.device(SID), [0x31n | (1n << 16n) | (BigInt(SID) << 32n)], iotlb.domain(1n))).toBe(true);
      expect(rig.read(0x1000n)).toBe("ok 5000");
    });

    it("VTD-088 a page-selective iotlb_inv with AM = 9 leaves none of its 512 pages, and nothing wrong outside", () => {
      const rig = cached();
      const { ss } = rig.scalable({ pgtt: 2n, did: 3n });
      rig.startQueue();
      const first = 0x4000_0000n;
      const page = (i: number) => first + 0x1000n * BigInt(i);
      const inside = [0, 1, 255, 511];
      const outside = [-1, 512, 1024];
      for (const i of [...inside, ...outside]) rig.mapSecond(ss, 4, page(i), 0x10_0000_0003n | (BigInt(i + 16) << 12n));
      const answer = (i: number, base: bigint) => `ok ${(base + 0x1000n * BigInt(i + 16)).toString(16)}`;
      for (const i of [...inside, ...outside]) expect(rig.read(page(i))).toBe(answer(i, 0x10_0000_0000n));
      for (const i of [...inside, ...outside]) rig.mapSecond(ss, 4, page(i), 0x20_0000_0003n | (BigInt(i + 16) << 12n));
      expect(rig.invalidate(iotlb.pages(3n, first, 9n))).toBe(true);
      for (const i of inside) expect(rig.read(page(i)), `page ${i}`).toBe(answer(i, 0x20_0000_0000n));
      for (const i of outside) {
        expect([answer(i, 0x10_0000_0000n), answer(i, 0x20_0000_0000n)], `page ${i}`).toContain(rig.read(page(i)));
      }
    });

    it("VTD-088 any address of a large page drops all of it", () => {
      const rig = cached();
      const { ss } = rig.scalable({ pgtt: 2n, did: 3n });
      rig.startQueue();
      const leaf = rig.mapSecond(ss, 4, 0x20_0000n, 0x60_0083n, 2);
      for (const at of [0x20_0000n, 0x2a_b000n, 0x3f_f000n]) expect(rig.read(at)).toMatch(/^ok 6|^ok 7/);
      rig.put(leaf, 0xa0_0083n);
      expect(rig.invalidate(iotlb.pages(3n, 0x31_1000n))).toBe(true);
      for (const at of [0x20_0000n, 0x2a_b000n, 0x3f_f000n]) {
        expect(rig.read(at)).toBe(`ok ${(at + 0x80_0000n).toString(16)}`);
      }
    });

    it("VTD-089 after a p_iotlb of PASID A nothing old of A is used; PASID B of the same domain still translates", () => {
      const rig = cached();
      const { contextEntry } = rig.scalable({ context: [DTE_PASIDE, 0n] });
      rig.startQueue();
      const a = rig.addPasid(contextEntry, 1, { did: 9n });
      const b = rig.addPasid(contextEntry, 2, { did: 9n });
      const leaf = rig.mapFirst(a.fs, 4, 0x1000n, 0x5027n);
      const far = rig.mapFirst(a.fs, 4, 1n << 39n, 0x7027n);
      rig.mapFirst(b.fs, 4, 0x1000n, 0x6007n);
      for (const [pasid, out] of [
        [1, "ok 5000"],
        [2, "ok 6000"],
      ] as const) {
        expect(rig.read(0x1000n, { pasid })).toBe(out);
      }
      expect(rig.read(1n << 39n, { pasid: 1 })).toBe("ok 7000");
      rig.put(leaf, 0x8027n);
      rig.put(far, 0n);
      expect(rig.invalidate(pIotlb.pasid(9n, 1))).toBe(true);
      expect(rig.read(0x1000n, { pasid: 1 })).toBe("ok 8000");
      expect(rig.read(1n << 39n, { pasid: 1 })).toBe("UR 71");
      expect(rig.read(0x1000n, { pasid: 2 })).toBe("ok 6000");
      // A page at a time, with a table taken away above.
      const table = rig.path(a.fs, 4, 0x1000n)[1] as bigint;
      rig.put(table, 0n);
      expect(rig.invalidate(pIotlb.pages(9n, 1, 0x1000n))).toBe(true);
      expect(rig.read(0x1000n, { pasid: 1 })).toBe("UR 71");
      expect(rig.read(0x1000n, { pasid: 2 })).toBe("ok 6000");
    });

    it("VTD-090 a page-selective iotlb_inv takes every first-stage and nested entry of its domain along", () => {
      const rig = cached();
      const { contextEntry } = rig.scalable({ context: [DTE_PASIDE, 0n] });
      rig.startQueue();
      const { ss, pasidEntry } = rig.addPasid(contextEntry, 3, { pgtt: 3n, did: 4n });
      const pages = [rig.page(), rig.page(), rig.page(), rig.page()] as const;
      for (const page of [...pages, 0x5000n]) rig.mapSecond(ss, 4, page, page | 3n);
      rig.put(pasidEntry + 16n, pages[0]);
      rig.put(pages[0], pages[1] | 7n);
      rig.put(pages[1], pages[2] | 7n);
      rig.put(pages[2], pages[3] | 7n);
      rig.put(pages[3] + 8n, 0x5027n);
      expect(rig.read(0x1000n, { pasid: 3 })).toBe("ok 5000");
      // The second stage moves the page that the first stage maps 0x1000 to; the command names another address.
      rig.mapSecond(ss, 4, 0x5000n, 0x9003n);
      expect(rig.invalidate(iotlb.pages(4n, 0x123_4000n))).toBe(true);
      expect(rig.read(0x1000n, { pasid: 3 })).toBe("ok 9000");
    });

    it("VTD-091 pc_inv and p_iotlb make a changed PASID entry effective", () => {
      const rig = cached();
      const { contextEntry } = rig.scalable({ context: [DTE_PASIDE, 0n] });
      rig.startQueue();
      const { fs, pasidEntry } = rig.addPasid(contextEntry, 1, { did: 6n });
      rig.mapFirst(fs, 4, 0x1000n, 0x5007n);
      expect(rig.read(0x1000n, { pasid: 1 })).toBe("ok 5000");
      const other = rig.page();
      rig.mapFirst(other, 4, 0x1000n, 0x6007n);
      rig.put(pasidEntry + 16n, other);
      expect(["ok 5000", "ok 6000"]).toContain(rig.read(0x1000n, { pasid: 1 }));
      expect(rig.invalidate(pc.pasid(6n, 1), pIotlb.pasid(6n, 1))).toBe(true);
      expect(rig.read(0x1000n, { pasid: 1 })).toBe("ok 6000");
      // And away: the wider commands do it as well.
      rig.put(pasidEntry, 0n);
      expect(rig.invalidate(pc.domain(6n), iotlb.domain(6n))).toBe(true);
      expect(rig.read(0x1000n, { pasid: 1 })).toBe("UR 59");
      rig.put(pasidEntry, 0x41n);
      expect(rig.read(0x1000n, { pasid: 1 })).toBe("ok 6000");
      rig.put(pasidEntry, 0n);
      expect(rig.invalidate(pc.global, iotlb.global)).toBe(true);
      expect(rig.read(0x1000n, { pasid: 1 })).toBe("UR 59");
    });

    it("VTD-092 what was not present and faulted needs no invalidation to appear while CM = 0", () => {
      const rig = cached();
      const { rootEntry, contextEntry, directoryEntry, pasidEntry, fs } = rig.scalable({ context: [DTE_PASIDE, 0n] });
      const { ss } = rig.addPasid(contextEntry, 1, { pgtt: 2n, did: 2n });
      rig.mapFirst(fs, 4, 0x1000n, 0x5007n);
      rig.mapSecond(ss, 4, 0x1000n, 0x6003n);
      const entries: readonly (readonly [bigint, string, { pasid?: number }])[] = [
        [rootEntry, "UR 39", {}],
        [contextEntry, "UR 41", {}],
        [directoryEntry, "UR 51", {}],
        [pasidEntry, "UR 59", {}],
        ...rig.path(fs, 4, 0x1000n).map((entry) => [entry, "UR 71", {}] as const),
        ...rig.path(ss, 4, 0x1000n).map((entry) => [entry, "UR 79", { pasid: 1 }] as const),
      ];
      for (const [entry, fault, request] of entries) {
        const was = rig.get(entry);
        rig.put(entry, 0n);
        rig.settle();
        for (let i = 0; i < 3; i++) expect(rig.read(0x1000n, request)).toBe(fault);
        rig.put(entry, was);
        expect(rig.read(0x1000n, request)).toBe(request.pasid ? "ok 6000" : "ok 5000");
      }
    });

    it("VTD-092 so does an interrupt remapping entry", () => {
      const rig = cached();
      const table = rig.page();
      rig.w64(0xb8, table | 3n);
      rig.command(GCMD.SIRTP);
      rig.command(GCMD.IRE);
      const send = () => rig.unit.device(SID).interrupt(0xfee0_0010n | (1n << 5n), 0);
      expect(send()).toMatchObject({ ok: false, code: 0x22 });
      rig.put(table + 16n, 0x0000_0100_0042_0001n, 0n);
      expect(send()).toMatchObject({ ok: true });
    });

    it("VTD-093 ESRTPS = 1: SRTP alone makes a new root table effective", () => {
      const rig = cached();
      rig.scalable({ pgtt: 4n });
      expect(rig.read(0x1000n)).toBe("ok 1000");
      const { fs } = rig.scalable();
      rig.mapFirst(fs, 4, 0x1000n, 0x5007n);
      expect(rig.read(0x1000n)).toBe("ok 5000");
    });

    it("VTD-093 ESRTPS = 0: after global cc, pc and iotlb invalidation the new one counts", () => {
      const rig = cached({ ESRTPS: 0 });
      rig.scalable({ pgtt: 4n });
      rig.startQueue();
      expect(rig.read(0x1000n)).toBe("ok 1000");
      const { fs } = rig.scalable();
      rig.mapFirst(fs, 4, 0x1000n, 0x5007n);
      expect(["ok 1000", "ok 5000"]).toContain(rig.read(0x1000n));
      expect(rig.invalidate(cc.global, pc.global, iotlb.global)).toBe(true);
      expect(rig.read(0x1000n)).toBe("ok 5000");
    });

    it("VTD-115 with eight processors at work no DMA uses what was removed before a wait that it saw complete", () => {
      const PROCESSORS = 8;
      fc.assert(
        fc.property(fc.array(fc.integer({ min: 0, max: 0xffff_ffff }), { minLength: 40, maxLength: 120 }), (tape) => {
          const choices = new Choices(tape);
          const rig = cached({}, { queue: "stepped" });
          const { contextEntry } = rig.scalable({ context: [DTE_PASIDE, 0n] });
          rig.startQueue();
          const run = () => {
            while (rig.unit.step());
          };
          // Each processor owns a PASID with one page, half of them in shared domains; `at` is where the page is.
          const processors = Array.from({ length: PROCESSORS }, (_, i) => {
            const pasid = i + 1;
            const did = BigInt(1 + (i >> 1));
            const { fs } = rig.addPasid(contextEntry, pasid, { did });
            const leaf = rig.mapFirst(fs, 4, 0x1000n, 0x10_0007n + 0x1000n * BigInt(i));
            const status = rig.page();
            return { pasid, did, leaf, status, at: 0x10_0000n + 0x1000n * BigInt(i), turn: 0, old: new Set<bigint>() };
          });
          for (let step = 0; step < tape.length; step++) {
            const one = choices.pick(processors);
            const settled = rig.memory.read32(one.status) === one.turn;
            if (settled) one.old.clear();
            switch (choices.below(4)) {
              case 0: {
                if (!settled) break;
                one.old.add(one.at);
                one.at = (choices.bits(23) << 12n) | (1n << 40n);
                rig.put(one.leaf, one.at | 7n | (rig.get(one.leaf) & 0x60n));
                const command = choices.chance(50)
                  ? pIotlb.pages(one.did, one.pasid, 0x1000n)
                  : choices.chance(50)
                    ? pIotlb.pasid(one.did, one.pasid)
                    : iotlb.domain(one.did);
                one.turn++;
                rig.submit(command, [0x25n | (BigInt(one.turn) << 32n), one.status]);
                break;
              }
              case 1:
                for (let i = choices.below(3); i >= 0; i--) rig.unit.step();
                break;
              default: {
                const permitted = [one.at, ...one.old].map((at) => `ok ${at.toString(16)}`);
                const access = choices.chance(30) ? "w" : "r";
                expect(permitted).toContain(rig.ask({ address: 0x1000n, pasid: one.pasid, access }));
              }
            }
          }
          run();
          for (const { pasid, at, status, turn } of processors) {
            expect(rig.memory.read32(status)).toBe(turn);
            expect(rig.read(0x1000n, { pasid })).toBe(`ok ${at.toString(16)}`);
          }
        }),
        { numRuns: runs(40, 2000), seed },
      );
    });
  },
);
