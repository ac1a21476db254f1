/*
 * Either vendor's cache of translations by request in plain C, with the structure of `assembly/caches.ts`
 * and `assembly/tlb.ts`: sets of four ways, two-word tags that fill a line, 32-byte values. A hit makes
 * the same checks as the Wasm one (kind of request, who asks, page, rights, dirty) and writes the same
 * record; a miss walks and inserts.
 */
#include <stdlib.h>
#include <string.h>

#include "kernels.h"

enum { WAYS = 4 };
typedef struct {
  u64 first[WAYS], second[WAYS];
} tags;

static struct {
  u32 sets, hash_shift;
  u64 shifts;
  tags *tags;
  u8 (*values)[32];
  u8 *victims;
} cache;

/* Requests of other kinds are walked; the SMMU holds instruction fetches too, apart from reads. */
enum { SERVED_VTD = READ | WRITE | PRIVILEGED | HAS_PASID, SERVED_SMMU = SERVED_VTD | EXECUTE };

void cache_open(u32 sets) {
  cache.sets = sets;
  cache.hash_shift = 26 - (u32)__builtin_ctz(sets);
  cache.shifts = 0;
  free(cache.tags);
  free(cache.values);
  free(cache.victims);
  cache.tags = aligned_alloc(64, sets * sizeof(tags));
  cache.values = aligned_alloc(64, (u64)sets * WAYS * 32);
  cache.victims = calloc(sets, 1);
  memset(cache.tags, 0, sets * sizeof(tags));
}

/* Source-id and PASID, read as one word, and how the request is made. */
static inline u64 requester(const request *q) {
  u64 ids;
  memcpy(&ids, q, 8);
  u64 kind = 1ull << 63 | (u64)(q->flags & (EXECUTE | PRIVILEGED | HAS_PASID)) << 50;
  return kind | (ids & (q->flags & HAS_PASID ? 0x000fffffffffffffull : 0xffffffffull));
}

/* The page's address with log2 of its size in the bits that are 0 there. */
static inline u64 page_key(u64 address, int shift) { return (address & ~((1ull << shift) - 1)) | (u64)shift; }

/* The upper bits of three products; the first shift cannot be 32, whatever the number of sets. */
static inline u32 set_of(u64 first, u64 second) {
  u32 high = (u32)(first >> 32), mixed = (u32)second ^ (high << 16 | high >> 16);
  u32 hash = (u32)first * 0xa93cf547u ^ mixed * 0xa4f04cf5u ^ (u32)(second >> 32) * 0xc511ff0du;
  return hash >> cache.hash_shift >> 6;
}

static inline int find(u32 set, u64 first, u64 second) {
  const tags *t = &cache.tags[set];
  u32 hits = 0;
  for (int i = 0; i < WAYS; i++) hits |= (u32)(t->first[i] == first && t->second[i] == second) << i;
  return hits ? (int)set * WAYS + __builtin_ctz(hits) : -1;
}

/* A value's address has, where the page's is 0, the accesses that it serves. */
static inline bool hit(const request *q, result *r, bool smmu) {
  if (q->flags & ~(smmu ? SERVED_SMMU : SERVED_VTD)) return false;
  u64 key = requester(q);
  u32 wanted = q->flags & (READ | WRITE);
  for (u64 shifts = cache.shifts; shifts; shifts &= shifts - 1) {
    int shift = __builtin_ctzll(shifts);
    u64 page = page_key(q->address, shift);
    int index = find(set_of(page, key), page, key);
    if (index < 0) continue;
    const result *value = (const result *)cache.values[index];
    u64 output = value->address;
    if (wanted & ~output) return false;
    u64 within = (1ull << shift) - 1, address = (output & ~within) | (q->address & within);
    memcpy(r, value, 32);
    r->address = address;
    return true;
  }
  return false;
}

static __attribute__((noinline)) u32 miss(const request *q, result *r, bool smmu) {
  u32 code = smmu ? smmu_walk(q, r) : vtd_walk(q, r);
  if (code) return code;
  u64 page = page_key(q->address, r->page_shift), key = requester(q);
  u32 set = set_of(page, key);
  int index = find(set, page, key);
  if (index < 0) {
    int way = 0;
    while (way < WAYS && cache.tags[set].second[way]) way++;
    if (way == WAYS) way = cache.victims[set]++ & (WAYS - 1);
    cache.tags[set].first[way] = page;
    cache.tags[set].second[way] = key;
    index = (int)set * WAYS + way;
  }
  cache.shifts |= 1ull << r->page_shift;
  memcpy(cache.values[index], r, 32);
  u64 serves = r->permissions & (r->flags & DIRTY ? READ | WRITE : READ);
  ((result *)cache.values[index])->address = (r->address & ~((1ull << r->page_shift) - 1)) | serves;
  return 0;
}

u32 vtd_translate(const request *q, result *r) { return hit(q, r, false) ? 0 : miss(q, r, false); }
u32 smmu_translate(const request *q, result *r) { return hit(q, r, true) ? 0 : miss(q, r, true); }
