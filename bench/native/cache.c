/*
 * The IOTLB in plain C with the structure of `assembly/caches.ts`: sets of four ways, two-word tags that
 * fill a line, 32-byte values. A hit makes the same checks as the Wasm one (kind of request, mode, rights,
 * dirty) and writes the same record; a miss walks and inserts.
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

/* READ and WRITE only: anything else is walked. */
enum { SERVED = READ | WRITE | PRIVILEGED | HAS_PASID };

void cache_open(u32 sets) {
  cache.sets = sets;
  cache.hash_shift = 58 - (u32)__builtin_ctz(sets);
  cache.shifts = 0;
  free(cache.tags);
  free(cache.values);
  free(cache.victims);
  cache.tags = aligned_alloc(64, sets * sizeof(tags));
  cache.values = aligned_alloc(64, (u64)sets * WAYS * 32);
  cache.victims = calloc(sets, 1);
  memset(cache.tags, 0, sets * sizeof(tags));
}

static inline u64 requester(const request *q) {
  u64 key = 1ull << 63 | (q->sid & 0xffff);
  if (!(q->flags & HAS_PASID)) return key;
  return key | 1ull << 36 | (q->flags & PRIVILEGED ? 1ull << 37 : 0) | (u64)(q->pasid & 0xfffff) << 16;
}

/* The upper bits of a product; the first shift cannot be 64, whatever the number of sets. */
static inline u32 set_of(u64 first, u64 second) {
  return (u32)((first ^ second) * 0x9e3779b97f4a7c15ull >> cache.hash_shift >> 6);
}

static inline int find(u32 set, u64 first, u64 second) {
  const tags *t = &cache.tags[set];
  u32 hits = 0;
  for (int i = 0; i < WAYS; i++) hits |= (u32)(t->first[i] == first && t->second[i] == second) << i;
  return hits ? (int)set * WAYS + __builtin_ctz(hits) : -1;
}

static inline bool hit(const request *q, result *r) {
  if (q->flags & ~SERVED) return false;
  u64 key = requester(q);
  u32 wanted = q->flags & (READ | WRITE);
  for (u64 shifts = cache.shifts; shifts; shifts &= shifts - 1) {
    int shift = __builtin_ctzll(shifts);
    u64 first = q->address >> shift, second = key | (u64)shift << 38;
    int index = find(set_of(first, second), first, second);
    if (index < 0) continue;
    const result *value = (const result *)cache.values[index];
    if ((value->permissions & wanted) != wanted) return false;
    if (wanted & WRITE && !(value->flags & DIRTY)) return false;
    u64 page = value->address;
    memcpy(r, value, 32);
    r->address = page | (q->address & ((1ull << shift) - 1));
    return true;
  }
  return false;
}

static __attribute__((noinline)) u32 miss(const request *q, result *r) {
  u32 code = vtd_walk(q, r);
  if (code) return code;
  u64 first = q->address >> r->page_shift, second = requester(q) | (u64)r->page_shift << 38;
  u32 set = set_of(first, second);
  int index = find(set, first, second);
  if (index < 0) {
    int way = 0;
    while (way < WAYS && cache.tags[set].second[way]) way++;
    if (way == WAYS) way = cache.victims[set]++ & (WAYS - 1);
    cache.tags[set].first[way] = first;
    cache.tags[set].second[way] = second;
    index = (int)set * WAYS + way;
  }
  cache.shifts |= 1ull << r->page_shift;
  memcpy(cache.values[index], r, 32);
  ((result *)cache.values[index])->address = r->address & ~((1ull << r->page_shift) - 1);
  return 0;
}

u32 cache_translate(const request *q, result *r) { return hit(q, r) ? 0 : miss(q, r); }
