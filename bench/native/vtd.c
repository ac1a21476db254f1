/*
 * The VT-d scalable-mode walk in plain C: first-stage, second-stage and nested, with the checks of the
 * architecture in its order. A yardstick for the Wasm walker, so it makes the same checks on untranslated
 * requests and writes the same result record; anything else (legacy mode, ATS, updates of accessed and
 * dirty bits in memory) is not measured here.
 */
#include "kernels.h"

static struct {
  u64 root, ttm_bad, root_rsvd, ctx_rsvd[4], dir_rsvd, pe_rsvd[8], high, ss_rsvd_extra;
  u64 fs_leaf_rsvd_2m, fs_leaf_rsvd_1g;
  u32 pss_limit, sagaw, ss_limit_mgaw;
  bool fs1g, ss2m, ss1g, fs5, sre, nest, pt, fsts, ssts;
  bool rps, rprivs, snoops, ssads, scalable;
} u;

static bool bit(u64 word, int n) { return word >> n & 1; }

void vtd_configure(u64 cap, u64 ecap, u64 rtaddr, int haw) {
  u.high = haw < 64 ? ~0ull << haw : 0;
  u.root = rtaddr & ~0xfffull;
  u.scalable = (rtaddr >> 10 & 3) == 1;
  u.ttm_bad = !u.scalable || !bit(ecap, 43);
  u.root_rsvd = ones(11, 1) | u.high;
  u.rps = bit(ecap, 49);
  u.rprivs = bit(ecap, 53);
  u.ctx_rsvd[0] = ones(8, 7) | u.high | (bit(ecap, 2) ? 0 : 1 << 2) | (bit(ecap, 40) ? 0 : 1 << 3) |
                  (bit(ecap, 29) ? 0 : 1 << 4) | (bit(ecap, 55) ? 0 : 1 << 5) | (bit(ecap, 56) ? 0 : 1 << 6);
  u.ctx_rsvd[1] = ones(63, 21) | (u.rps ? 0 : ones(19, 0)) | (u.rprivs ? 0 : 1 << 20);
  u.ctx_rsvd[2] = u.ctx_rsvd[3] = ~0ull;
  u.dir_rsvd = ones(11, 2) | u.high;
  u.ssts = bit(ecap, 46);
  u.fsts = bit(ecap, 47);
  u.nest = bit(ecap, 26);
  u.pt = bit(ecap, 6);
  u.snoops = bit(ecap, 48);
  u.ssads = bit(ecap, 45);
  bool mts = bit(ecap, 25), hpt = bit(ecap, 55);
  int nd = 4 + 2 * (cap & 7);
  u.pe_rsvd[0] = 1 << 5 | ones(11, 10) | u.high | (u.ssts && u.ssads ? 0 : 1 << 9);
  u.pe_rsvd[1] = (nd < 16 ? ones(15, nd) : 0) | ones(22, 16) | ones(31, 27) | (u.snoops ? 0 : 1 << 23) |
                 (bit(ecap, 7) ? 0 : 1 << 24) | (mts ? 0x8888888800000000ull : ones(63, 32) | ones(26, 25));
  u.sre = bit(ecap, 31);
  u.pe_rsvd[2] = 1 << 1 | ones(11, 8) | u.high | (u.sre ? 0 : 1) | (bit(ecap, 34) ? 0 : 1 << 7);
  u.pe_rsvd[3] = u.pe_rsvd[6] = u.pe_rsvd[7] = ~0ull;
  u.pe_rsvd[4] = hpt ? ones(11, 3) | u.high : ~0ull;
  u.pe_rsvd[5] = hpt ? ones(63, nd) : ~0ull;
  u.pss_limit = 2u << (ecap >> 35 & 31);
  u.sagaw = cap >> 8 & 31;
  u.ss_limit_mgaw = (cap >> 16 & 63) + 1;
  u.fs1g = bit(cap, 56);
  u.fs5 = bit(cap, 60);
  u.ss2m = bit(cap, 34);
  u.ss1g = bit(cap, 35);
  u.ss_rsvd_extra = ones(51, 0) & u.high;
}

static __attribute__((noinline)) u32 fault(result *r, u32 code, u64 at, u64 entry) {
  r->code = code;
  r->flags = 1 | RECORD | QUALIFIED;
  r->fetch_address = at;
  r->entry = entry;
  return code;
}

/* Second stage: `gpa` becomes host physical; the leaf's size and rights are ANDed into the result. */
static inline u32 second_stage(result *r, u64 table, int aw, bool ad, u64 gpa, bool write, u64 *out, int *shift,
                               u64 *rights) {
  int bits = 30 + 9 * aw;
  if (bits > (int)u.ss_limit_mgaw) bits = u.ss_limit_mgaw;
  if (gpa >> bits) return fault(r, 0x84, gpa, 0);
  u64 and = 3;
  for (int level = aw + 2;; level--) {
    int lsb = 3 + 9 * level;
    u64 at = table + (gpa >> lsb & 511) * 8;
    const u64 *p = fetch(at);
    if (!p) return fault(r, level == aw + 2 ? 0x7b : 0x78, at, 0);
    u64 e = *p;
    if (!(e & 3)) return fault(r, 0x79, at, e);
    bool leaf = level == 1 || (level < 4 && bit(e, 7));
    u64 rsvd = u.ss_rsvd_extra | 1ull << 62;
    if (leaf) {
      if (level == 2) rsvd |= ones(20, 12) | (u.ss2m ? 0 : 1 << 7);
      if (level == 3) rsvd |= ones(29, 12) | (u.ss1g ? 0 : 1 << 7);
      rsvd |= 1 << 11;
    } else {
      rsvd |= 1 << 11 | (level > 3 ? 1 << 7 : 0);
    }
    if (e & rsvd) return fault(r, 0x7a, at, e);
    and &= e;
    if (!and) return fault(r, 0x79, at, e);
    if (ad && (!bit(e, 8) || (leaf && write && !bit(e, 9)))) return fault(r, 0x7c, at, e);
    if (!leaf) {
      table = e & ones(51, 12);
      continue;
    }
    if (write && !(and & 2)) return fault(r, 0x85, at, e);
    if (!write && !(and & 1)) return fault(r, 0x86, at, e);
    *out = (e & (ones(51, 12) & ~ones(lsb - 1, 0))) | (gpa & ones(lsb - 1, 0));
    if (lsb < *shift) *shift = lsb;
    *rights &= and;
    return 0;
  }
}

u32 vtd_walk(const request *q, result *r) {
  if (u.ttm_bad) return fault(r, 0x30, 0, 0);
  u32 bus = q->sid >> 8, devfn = q->sid & 255;
  u64 at = u.root + bus * 16 + (devfn >> 7) * 8;
  const u64 *p = fetch(at);
  if (!p) return fault(r, 0x38, at, 0);
  u64 root = *p;
  if (!(root & 1)) return fault(r, 0x39, at, root);
  if (root & u.root_rsvd) return fault(r, 0x3a, at, root);
  at = (root & ~0xfffull) + (devfn & 127) * 32;
  const u64 *ctx = fetch(at);
  if (!ctx) return fault(r, 0x40, at, 0);
  if (!(ctx[0] & 1)) return fault(r, 0x41, at, ctx[0]);
  if ((ctx[0] & u.ctx_rsvd[0]) | (ctx[1] & u.ctx_rsvd[1]) | ctx[2] | ctx[3]) return fault(r, 0x42, at, ctx[0]);
  u32 pdts_limit = 1u << ((ctx[0] >> 9 & 7) + 13);
  u32 rid_pasid = u.rps ? ctx[1] & 0xfffff : 0;
  if ((bit(ctx[0], 4) && !bit(ctx[0], 2)) || rid_pasid >= pdts_limit || (bit(ctx[0], 6) && !bit(ctx[0], 3)))
    return fault(r, 0x43, at, ctx[0]);
  u32 pasid = rid_pasid;
  bool privileged = u.rprivs && bit(ctx[1], 20);
  if (q->flags & HAS_PASID) {
    if (!bit(ctx[0], 3)) return fault(r, 0x45, at, ctx[0]);
    pasid = q->pasid;
    if (pasid >= u.pss_limit) return fault(r, 0x89, at, ctx[0]);
    if (pasid >= pdts_limit) return fault(r, 0x46, at, ctx[0]);
    if (pasid == rid_pasid) return fault(r, 0x48, at, ctx[0]);
    privileged = q->flags & PRIVILEGED;
  }
  at = (ctx[0] & ~0xfffull) + (pasid >> 6) * 8;
  p = fetch(at);
  if (!p) return fault(r, 0x50, at, 0);
  u64 dir = *p;
  if (!(dir & 1)) return fault(r, 0x51, at, dir);
  if (dir & u.dir_rsvd) return fault(r, 0x52, at, dir);
  at = (dir & ~0xfffull) + (pasid & 63) * 64;
  const u64 *pe = fetch(at);
  if (!pe) return fault(r, 0x58, at, 0);
  if (!(pe[0] & 1)) return fault(r, 0x59, at, pe[0]);
  if ((pe[0] & u.pe_rsvd[0]) | (pe[1] & u.pe_rsvd[1]) | (pe[2] & u.pe_rsvd[2]) | (pe[3] & u.pe_rsvd[3]) |
      (pe[4] & u.pe_rsvd[4]) | (pe[5] & u.pe_rsvd[5]) | (pe[6] & u.pe_rsvd[6]) | (pe[7] & u.pe_rsvd[7]))
    return fault(r, 0x5a, at, pe[0]);
  int pgtt = pe[0] >> 6 & 7, aw = pe[0] >> 2 & 7, fspm = pe[2] >> 2 & 3;
  bool nested = pgtt == 3, first = pgtt == 1 || nested;
  if (!((pgtt == 1 && u.fsts) || (pgtt == 2 && u.ssts) || (pgtt == 3 && u.nest) || (pgtt == 4 && u.pt)))
    return fault(r, 0x5b, at, pe[0]);
  if (pgtt != 1 && pgtt != 4 && !(aw >= 1 && aw <= 3 && u.sagaw >> aw & 1)) return fault(r, 0x5b, at, pe[0]);
  if (first && fspm > (u.fs5 ? 1 : 0)) return fault(r, 0x5b, at, pe[0]);
  if (privileged && !(pe[2] & 1)) return fault(r, 0x5d, at, pe[0]);
  u64 out = q->address, rights = 3;
  int shift = 64;
  bool write = q->flags & WRITE, snooped = u.snoops && bit(pe[1], 23), ssade = bit(pe[0], 9) && !snooped;
  if (first) {
    int bits = fspm ? 57 : 48;
    u64 limit = u.ss_limit_mgaw < 30u + 9 * aw ? u.ss_limit_mgaw : 30 + 9 * aw;
    if ((u64)((int64_t)(q->address << (64 - bits)) >> (64 - bits)) != q->address) return fault(r, 0x80, at, pe[0]);
    u64 table = pe[2] & ~0xfffull, and = 6;
    if (nested && table >> limit) return fault(r, 0x5b, at, pe[0]);
    for (int level = fspm ? 5 : 4;; level--) {
      int lsb = 3 + 9 * level;
      at = table + (q->address >> lsb & 511) * 8;
      if (nested) {
        int ignored = 64;
        u64 granted = 3;
        u32 code = second_stage(r, pe[0] & ones(51, 12), aw, ssade, at, false, &at, &ignored, &granted);
        if (code) return code;
      }
      p = fetch(at);
      if (!p) return fault(r, level == (fspm ? 5 : 4) ? 0x73 : 0x70, at, 0);
      u64 e = *p;
      if (!(e & 1)) return fault(r, 0x71, at, e);
      bool leaf = level == 1 || (level < 4 && bit(e, 7));
      u64 rsvd = nested ? 0 : u.high & ones(51, 0);
      if (level > 3) rsvd |= 1 << 7;
      if (leaf && level == 2) rsvd |= ones(20, 13);
      if (leaf && level == 3) rsvd |= ones(29, 13) | (u.fs1g ? 0 : 1 << 7);
      if (e & rsvd) return fault(r, 0x72, at, e);
      if (nested && (e & ones(51, 12)) >> limit) return fault(r, 0x74, at, e);
      and &= e;
      if ((!bit(e, 5) || (leaf && write && !bit(e, 6))) && !snooped) return fault(r, 0x90, at, e);
      if (!leaf) {
        table = e & ones(51, 12);
        continue;
      }
      if (!privileged && !(and & 4)) return fault(r, 0x81, at, e);
      if (write && !(and & 2) && (!privileged || bit(pe[2], 4))) return fault(r, 0x85, at, e);
      out = (e & (ones(51, 12) & ~ones(lsb - 1, 0))) | (q->address & ones(lsb - 1, 0));
      shift = lsb;
      rights = 1 | (and & 2);
      break;
    }
  }
  if (pgtt == 2 || nested) {
    u32 code = second_stage(r, pe[0] & ones(51, 12), aw, ssade, out, write, &out, &shift, &rights);
    if (code) return code;
  }
  if (pgtt == 4 && out & u.high) return fault(r, 0x83, at, pe[0]);
  if (out >> 20 == 0xfee) return fault(r, 0x87, at, pe[0]);
  r->code = 0;
  r->flags = DIRTY;
  r->address = out;
  r->page_shift = shift;
  r->permissions = rights;
  r->attributes = snooped;
  r->tags = (pe[1] & 0xffff) | pgtt << 16;
  r->pasid = pasid;
  r->extra = 0;
  return 0;
}
