/*
 * The 2^20 ID bitmap in plain C, with the structure of the Wasm one: words of 64 bits, and above them
 * two levels that say "full" and "any".
 *
 *   bitmap load PATH COUNT      PATH: 128 KiB of bits (1 = in use), then COUNT u32 IDs to churn
 *   bitmap fill TIMES           allocates all IDs of an empty bitmap -> nanoseconds, sum of the IDs
 *   bitmap churn BLOCK TIMES    from the loaded bits: frees BLOCK IDs and allocates as many, until all
 *                               COUNT were freed -> nanoseconds, sum of the IDs allocated
 *   bitmap range BLOCK TIMES    the same, but allocates within the 2^16 IDs around the first of each block
 *   bitmap flat                 the same one by one, in a bitmap without levels, scanned from its start
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "kernels.h"

int bitmap_command(const char *line);

enum { IDS = 1 << 20, WORDS_0 = IDS / 64, WORDS_1 = WORDS_0 / 64, WORDS_2 = WORDS_1 / 64 };
static const u64 ALL = ~0ull;

typedef struct {
  u32 count;
  u64 full_2[WORDS_2], any_2[WORDS_2], full_1[WORDS_1], any_1[WORDS_1], bits[WORDS_0];
} bitmap;

static bitmap work, loaded;
static u32 *ids, *taken;
static u32 id_count;

static u64 bit(u32 i) { return 1ull << (i & 63); }

static void mark_taken(bitmap *b, u32 word, u64 old, u64 now) {
  u32 above = word >> 6;
  b->bits[word] = now;
  if (!old) {
    b->any_1[above] |= bit(word);
    b->any_2[above >> 6] |= bit(above);
  }
  if (now == ALL) {
    u64 full = b->full_1[above] |= bit(word);
    b->full_2[above >> 6] |= (u64)(full == ALL) << (above & 63);
  }
}

static void take(bitmap *b, u32 id) {
  u64 old = b->bits[id >> 6];
  b->count++;
  mark_taken(b, id >> 6, old, old | bit(id));
}

static bool release(bitmap *b, u32 id) {
  if (id >= IDS) return false;
  u32 word = id >> 6, above = word >> 6;
  u64 old = b->bits[word], now = old & ~bit(id);
  if (now == old) return false;
  b->bits[word] = now;
  if (old == ALL) {
    b->full_1[above] &= ~bit(word);
    b->full_2[above >> 6] &= ~bit(above);
  }
  if (!now) {
    u64 any = b->any_1[above] &= ~bit(word);
    b->any_2[above >> 6] &= ~((u64)(any == 0) << (above & 63));
  }
  return true;
}

/* noipa: as in Wasm, callers hand over which bitmap, where from and how many. */
#define KERNEL static __attribute__((noipa))

/* First word of level 1 from `from` on that is not full; WORDS_1 when there is none. */
static u32 seek_open_1(const bitmap *b, u32 from) {
  if (from == WORDS_1) return from;
  u32 word_2 = from >> 6;
  u64 open = ~b->full_2[word_2] & ALL << (from & 63);
  while (!open) {
    if (++word_2 == WORDS_2) return WORDS_1;
    open = ~b->full_2[word_2];
  }
  return word_2 << 6 | (u32)__builtin_ctzll(open);
}

KERNEL u32 alloc_many(bitmap *b, u32 min, u32 max, u32 *out, u32 count) {
  if (min >= IDS || min > max) return 0;
  u32 *at = out, *end = out + count, word_1 = min >> 12;
  u64 open_1 = ~b->full_1[word_1] & ALL << (min >> 6 & 63);
  u64 asked = open_1 & bit(min >> 6) ? ALL << (min & 63) : ALL;
  while (at < end) {
    if (!open_1) {
      word_1 = seek_open_1(b, word_1 + 1);
      if (word_1 == WORDS_1) break;
      open_1 = ~b->full_1[word_1];
    }
    u32 word = word_1 << 6 | (u32)__builtin_ctzll(open_1), first = word << 6;
    open_1 &= open_1 - 1;
    if (first > max) break;
    u64 free = ~b->bits[word], open = free & asked;
    asked = ALL;
    if (first + 63 > max) open &= ALL >> (63 - (max & 63));
    if (!open) continue;
    if (open == ALL && end - at >= 64) {
      for (u32 k = 0; k < 64; k++) at[k] = first + k;
      at += 64;
      mark_taken(b, word, 0, ALL);
      continue;
    }
    u64 rest = open;
    u32 n = (u32)__builtin_popcountll(open);
    if (n > end - at) n = end - at;
    for (; n >= 4; n -= 4, at += 4)
      for (int k = 0; k < 4; k++, rest &= rest - 1) at[k] = first | (u32)__builtin_ctzll(rest);
    for (; n; n--, rest &= rest - 1) *at++ = first | (u32)__builtin_ctzll(rest);
    mark_taken(b, word, ~free, ~(free ^ open ^ rest));
  }
  b->count += at - out;
  return at - out;
}

KERNEL u32 free_many(bitmap *b, const u32 *list, u32 count) {
  u32 freed = 0;
  for (u32 i = 0; i < count; i++) freed += release(b, list[i]);
  b->count -= freed;
  return freed;
}

static u64 now(void) {
  struct timespec t;
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
  return (u64)t.tv_sec * 1000000000ull + t.tv_nsec;
}

static u64 sum_of(u32 count) {
  u64 sum = 0;
  for (u32 i = 0; i < count; i++) sum += taken[i];
  return sum;
}

static bool load(const char *path, u32 count) {
  static u64 bits[WORDS_0];
  FILE *file = fopen(path, "rb");
  if (!file) return false;
  free(ids);
  ids = malloc(count * sizeof *ids);
  bool ok = ids && fread(bits, sizeof bits, 1, file) == 1 && fread(ids, sizeof *ids, count, file) == count;
  fclose(file);
  if (!taken) taken = malloc(IDS * sizeof *taken);
  memset(&loaded, 0, sizeof loaded);
  for (u32 id = 0; ok && id < IDS; id++)
    if (bits[id >> 6] & bit(id)) take(&loaded, id);
  id_count = count;
  return ok && taken;
}

static void report(u64 ns, u64 sum) { printf("%llu %llu\n", (unsigned long long)ns, (unsigned long long)sum); }

static void fill(long times) {
  u64 ns = 0;
  for (long t = 0; t < times; t++) {
    memset(&work, 0, sizeof work);
    u64 start = now();
    alloc_many(&work, 0, IDS - 1, taken, IDS);
    ns += now() - start;
  }
  report(ns, sum_of(IDS));
}

enum { RANGE = 1 << 16 };

static void churn(u32 block, long times, bool ranged) {
  u64 ns = 0;
  for (long t = 0; t < times; t++) {
    work = loaded;
    u64 start = now();
    for (u32 i = 0; i + block <= id_count; i += block) {
      free_many(&work, ids + i, block);
      u32 min = ranged ? ids[i] / RANGE * RANGE : 0, max = ranged ? min + RANGE - 1 : IDS - 1;
      alloc_many(&work, min, max, taken + i, block);
    }
    ns += now() - start;
  }
  report(ns, sum_of(id_count));
}

static __attribute__((noinline)) u32 flat_alloc(u64 *bits) {
  u32 word = 0;
  while (bits[word] == ALL) word++;
  u32 id = word << 6 | (u32)__builtin_ctzll(~bits[word]);
  bits[word] |= bit(id);
  return id;
}

static void flat(void) {
  work = loaded;
  u64 start = now();
  for (u32 i = 0; i < id_count; i++) {
    work.bits[ids[i] >> 6] &= ~bit(ids[i]);
    taken[i] = flat_alloc(work.bits);
  }
  u64 ns = now() - start;
  report(ns, sum_of(id_count));
}

int bitmap_command(const char *line) {
  char path[4000];
  unsigned a;
  long times;
  if (sscanf(line, "bitmap load %3999s %u", path, &a) == 2) puts(load(path, a) ? "ok" : "error cannot read");
  else if (sscanf(line, "bitmap fill %ld", &times) == 1) fill(times);
  else if (sscanf(line, "bitmap churn %u %ld", &a, &times) == 2) churn(a, times, false);
  else if (sscanf(line, "bitmap range %u %ld", &a, &times) == 2) churn(a, times, true);
  else if (!strncmp(line, "bitmap flat", 11)) flat();
  else return 0;
  return 1;
}
