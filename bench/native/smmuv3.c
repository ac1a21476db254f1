/*
 * The SMMUv3 stage 1 walk in plain C: linear or two-level stream table, STE, linear or two-level CD
 * table, CD, VMSAv8-64 descriptors of any granule, with the architecture's validity checks in its
 * order. A yardstick for the Wasm walker. What the bench does not measure ends the walk with NOT_MEASURED
 * where the architecture has the walker look: ATS, stage 2, the EL2 worlds, updates of descriptors.
 */
#include "kernels.h"

enum { NOT_MEASURED = 0xff };

static struct {
  u64 base, oas_high;
  u32 cfg, idr0, idr1, idr3, idr5, sid_bits, split, oas;
  bool two_level;
} s;

static u32 field(u64 word, int msb, int lsb) { return word >> lsb & (~0ull >> (63 - (msb - lsb))); }

static u32 size_of(u32 code) {
  static const u8 bits[] = {32, 36, 40, 42, 44, 48, 52, 52};
  return bits[code & 7];
}

void smmu_configure(u64 strtab_base, u32 strtab_cfg, u32 idr0, u32 idr1, u32 idr3, u32 idr5) {
  s.cfg = strtab_cfg;
  s.idr0 = idr0;
  s.idr1 = idr1;
  s.idr3 = idr3;
  s.idr5 = idr5;
  s.oas = size_of(idr5);
  s.oas_high = ~0ull << s.oas;
  u32 log2size = strtab_cfg & 63;
  s.sid_bits = log2size < (idr1 & 63) ? log2size : idr1 & 63;
  s.split = strtab_cfg >> 6 & 31;
  if (s.split != 8 && s.split != 10) s.split = 6;
  s.two_level = (idr0 >> 27 & 3) && (strtab_cfg >> 16 & 3) == 1;
  s.base = strtab_base & ones(51, 6);
  int low = s.two_level ? (log2size > s.split ? (int)(log2size - s.split) + 3 : 3) : (int)log2size + 6;
  if (low < 6) low = 6;
  s.base &= ~0ull << low;
}

static __attribute__((noinline)) u32 event(result *r, u32 code, u64 at, u64 entry) {
  r->code = code;
  r->flags = 3 | RECORD;
  r->fetch_address = at;
  r->entry = entry;
  return code;
}

/* IHI 0070 5.2, PRIVCFG and INSTCFG: the request as the STE has it. A write counts as data. */
static u32 overridden(u32 flags, u64 ste1) {
  u32 priv = field(ste1, 49, 48), inst = field(ste1, 51, 50);
  if ((priv | inst) && (s.idr1 >> 26 & 1)) {
    if (priv & 2) flags = priv & 1 ? flags | PRIVILEGED : flags & ~PRIVILEGED;
    if (inst & 2) flags = inst & 1 ? flags | EXECUTE : flags & ~EXECUTE;
  }
  return flags & WRITE ? flags & ~EXECUTE : flags;
}

/* IHI 0070 13: attributes as the transaction goes out. Device and Normal non-cacheable memory is outer shareable. */
static u32 attributes(u32 type, u32 sh, u32 flags) {
  if (type < 16 || type == 0x44) sh = 2;
  else if (sh == 1) sh = 0;
  return type | sh << 8 | !!(flags & PRIVILEGED) << 10 | !!(flags & EXECUTE) << 11;
}

/* IHI 0070 5.2: what makes an STE with stage 1 only illegal. */
static bool ste_illegal(const u64 *ste, u32 s1cdmax) {
  if (!(s.idr0 >> 1 & 1)) return true;
  u32 eats = s.idr0 >> 10 & 1 ? field(ste[1], 29, 28) : 0;
  if (eats == 2) return true;
  if ((s.idr0 >> 9 & 1) && (field(ste[1], 31, 30) & 1)) return true;
  if (field(ste[1], 27, 27) && (s.idr0 >> 24 & 3)) return true;
  if (s1cdmax > (s.idr1 >> 6 & 31)) return true;
  u32 format = field(ste[0], 5, 4);
  if (s1cdmax && (format == 1 || format == 2) && !(s.idr0 >> 19 & 1)) return true;
  if (ste[0] & ones(51, 6) & s.oas_high) return true;
  return !(s.idr0 >> 18 & 1) && field(ste[2], 15, 8);
}

/* IHI 0070 5.4: one half of the CD. */
static bool half_illegal(const u64 *cd, bool upper, u32 ips) {
  u32 tg = upper ? field(cd[0], 23, 22) : field(cd[0], 7, 6);
  u32 granule = upper ? (tg == 1 ? 2 : tg == 2 ? 0 : tg == 3 ? 1 : 3) : tg;
  if (granule == 3) return true;
  if (!(s.idr5 >> (granule == 0 ? 4 : granule == 2 ? 5 : 6) & 1)) return true;
  u32 tsz = upper ? field(cd[0], 21, 16) : field(cd[0], 5, 0);
  u32 least = (s.idr5 >> 10 & 3) == 1 && granule == 1 ? 12 : 16;
  if (tsz < least || tsz > 39) return true;
  return (cd[upper ? 2 : 1] & ones(51, 4)) >> (granule == 1 ? ips : ips < 48 ? ips : 48);
}

static bool cd_illegal(const u64 *cd, const u64 *ste, u32 ips) {
  u64 w = cd[0];
  if (!(w >> 31 & 1)) return true;
  if (field(ste[1], 27, 27) && (w >> 44 & 1)) return true;
  if ((s.idr0 >> 26 & 1) && !(w >> 46 & 1)) return true;
  u32 model = s.idr0 >> 24 & 3, stalls = w >> 44 & 1;
  if ((model == 1 && stalls) || (model == 2 && !stalls)) return true;
  bool epd0 = w >> 14 & 1, epd1 = w >> 30 & 1;
  u32 endian = s.idr0 >> 21 & 3, big = w >> 15 & 1;
  if (((endian == 2 && big) || (endian == 3 && !big)) && !(epd0 && epd1)) return true;
  if (!(w >> 41 & 1)) return true;
  u32 httu = s.idr0 >> 6 & 3;
  if (((w >> 42 & 3) && httu == 0) || ((w >> 42 & 1) && httu == 1)) return true;
  if (!(s.idr0 >> 12 & 1) && field(w, 63, 56)) return true;
  return (!epd0 && half_illegal(cd, false, ips)) || (!epd1 && half_illegal(cd, true, ips));
}

u32 smmu_walk(const request *q, result *r) {
  if (q->flags & (ATS_REQUEST | ATS_TRANSLATED)) return event(r, NOT_MEASURED, 0, 0);
  if (s.sid_bits < 32 && q->sid >> s.sid_bits) return event(r, 0x02, 0, 0);
  u64 at = s.base;
  if (s.two_level) {
    at += (q->sid >> s.split) * 8;
    const u64 *l1 = fetch(at);
    if (!l1) return event(r, 0x03, at, 0);
    u32 span = *l1 & 31, index = q->sid & ((1u << s.split) - 1);
    if (!span || span > 11 || span > s.split + 1 || index >= 1u << (span - 1)) return event(r, 0x02, at, *l1);
    at = (*l1 & ones(51, 6) & (~0ull << (5 + span))) + index * 64;
  } else {
    at += q->sid * 64ull;
  }
  const u64 *ste = fetch(at);
  if (!ste) return event(r, 0x03, at, 0);
  if (!(ste[0] & 1)) return event(r, 0x04, at, ste[0]);
  u32 config = ste[0] >> 1 & 7;
  if (config < 4) return event(r, NOT_MEASURED, at, ste[0]);
  u32 s1cdmax = s.idr1 >> 6 & 31 ? field(ste[0], 63, 59) : 0;
  if (config != 5 || ste_illegal(ste, s1cdmax)) return event(r, 0x04, at, ste[0]);
  if ((s.idr0 >> 9 & 1) && field(ste[1], 31, 30) == 2) return event(r, NOT_MEASURED, at, ste[0]);
  u32 flags = overridden(q->flags, ste[1]);
  u32 ssid = 0, s1dss = field(ste[1], 1, 0);
  if (flags & HAS_PASID) {
    ssid = q->pasid;
    if (!s1cdmax || ssid >> s1cdmax) return event(r, 0x08, at, ste[0]);
    if (!ssid && s1dss == 2) return event(r, 0x06, at, ste[0]);
  } else if (s1cdmax && s1dss != 2) {
    return event(r, 0x06, at, ste[0]);
  }
  u32 format = field(ste[0], 5, 4), leaf_bits = format == 1 ? 6 : 10;
  u64 table = ste[0] & ones(51, 6);
  if (s1cdmax && (format == 1 || format == 2)) {
    u32 l1_bits = s1cdmax > leaf_bits ? s1cdmax - leaf_bits + 3 : 6;
    at = (table & (~0ull << (l1_bits < 6 ? 6 : l1_bits))) + (ssid >> leaf_bits) * 8;
    const u64 *l1cd = fetch(at);
    if (!l1cd) return event(r, 0x09, at, 0);
    u64 l2 = *l1cd & ones(51, 12) & (format == 2 ? ~0xffffull : ~0ull);
    if (!(*l1cd & 1) || l2 & s.oas_high) return event(r, 0x08, at, *l1cd);
    at = l2 + (ssid & ((1u << leaf_bits) - 1)) * 64;
  } else {
    at = (table & (~0ull << (s1cdmax + 6))) + ssid * 64;
  }
  const u64 *cd = fetch(at);
  if (!cd) return event(r, 0x09, at, 0);
  u64 w = cd[0];
  u32 ips = size_of(field(w, 34, 32));
  if (ips > s.oas) ips = s.oas;
  if (cd_illegal(cd, ste, ips)) return event(r, 0x0a, at, w);

  u64 va = q->address;
  bool upper = va >> 55 & 1, tbi = upper ? w >> 39 & 1 : w >> 38 & 1;
  u32 tsz = upper ? field(w, 21, 16) : field(w, 5, 0);
  if (upper ? w >> 30 & 1 : w >> 14 & 1) return event(r, 0x10, at, w);
  u32 input = 64 - tsz;
  u64 sign = tbi ? (u64)((int64_t)(va << 8) >> 8) : va;
  if (upper ? ~sign >> input : sign >> input) return event(r, 0x10, at, w);
  u32 tg = upper ? field(w, 23, 22) : field(w, 7, 6);
  u32 page = upper ? (tg == 1 ? 14 : tg == 2 ? 12 : 16) : (tg == 0 ? 12 : tg == 1 ? 16 : 14);
  u32 stride = page - 3;
  int level = 4 - (int)((input - page + stride - 1) / stride);
  u64 out_high = ~0ull << ips, address_mask = ones(47, (int)page);
  u32 top = page + stride * (u32)(3 - level);
  u32 top_bits = input - top + 3;
  table = (upper ? cd[2] : cd[1]) & ones(51, 4) & (~0ull << (top_bits < 4 ? 4 : top_bits));
  u64 index_mask = (1ull << (input - top)) - 1, above = 0;
  bool had = (s.idr3 >> 2 & 1) && (upper ? cd[2] >> 1 & 1 : cd[1] >> 1 & 1);
  bool ha = w >> 43 & 1, tracks = ha && (w >> 42 & 1), big = w >> 15 & 1;
  u64 d, d_at, output;
  u32 lsb;
  for (;; level++) {
    lsb = page + stride * (u32)(3 - level);
    d_at = table + (va >> lsb & index_mask) * 8;
    const u64 *p = fetch(d_at);
    if (!p) return event(r, 0x0b, d_at, 0);
    d = big ? __builtin_bswap64(*p) : *p;
    bool is_table = level < 3 && (d & 2);
    if (!(d & 1) || (level == 3 && !(d & 2))) return event(r, 0x10, d_at, d);
    if (!is_table && level < 3 && !(level == 2 || (level == 1 && page == 12))) return event(r, 0x10, d_at, d);
    output = d & address_mask;
    if (page == 16 && s.oas == 52) output |= (d >> 12 & 15) << 48;
    if (!is_table) output &= ~0ull << lsb;
    if (output & out_high) return event(r, 0x11, d_at, d);
    if (!is_table) break;
    above |= d;
    table = output;
    index_mask = (1ull << stride) - 1;
  }
  if (!(d >> 10 & 1) && !(w >> 35 & 1) && !ha) return event(r, 0x12, d_at, d);
  bool clean = tracks && (d >> 51 & 1) && (d >> 7 & 1);
  if (had) above = 0;
  bool user = (d >> 6 & 1) && !(above >> 61 & 1), read_only = ((d >> 7 & 1) && !clean) || above >> 62 & 1;
  bool privileged = flags & PRIVILEGED;
  bool readable = privileged ? !((w >> 40 & 1) && user) : user;
  bool writable = readable && !read_only;
  bool executable = privileged ? !((d >> 53 | above >> 59) & 1) && !(user && !read_only) : !((d >> 54 | above >> 60) & 1);
  if ((w >> 36 & 1) && writable) executable = false;
  if ((flags & EXECUTE && !executable) || (flags & READ && !(flags & EXECUTE) && !readable) ||
      (flags & WRITE && !writable))
    return event(r, 0x13, d_at, d);
  if ((ha && !(d >> 10 & 1)) || (clean && flags & WRITE)) return event(r, NOT_MEASURED, d_at, d);
  u64 mair = cd[3] >> ((d >> 2 & 7) * 8) & 255;
  r->code = 0;
  r->flags = clean ? 0 : DIRTY;
  r->address = output | (va & ones((int)lsb - 1, 0));
  r->page_shift = lsb;
  r->permissions = readable | writable << 1 | executable << 2;
  r->attributes = attributes(mair, field(d, 9, 8), flags);
  r->tags = field(w, 63, 48) | (s.idr0 & 1 ? (u32)(ste[2] & 0xffff) << 16 : 0);
  r->pasid = ssid;
  r->extra = !(d >> 11 & 1) << 2 | field(w, 47, 47) << 3 | lsb << 8;
  return 0;
}
