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

static u32 seek_above(const bitmap *b, u32 from) {
  if (from == WORDS_0) return WORDS_0;
  u32 word_1 = from >> 6;
  u64 open = ~b->full_1[word_1] & ALL << (from & 63);
  if (!open) {
    if (++word_1 == WORDS_1) return WORDS_0;
    u32 word_2 = word_1 >> 6;
    open = ~b->full_2[word_2] & ALL << (word_1 & 63);
    while (!open) {
      if (++word_2 == WORDS_2) return WORDS_0;
      open = ~b->full_2[word_2];
    }
    word_1 = word_2 << 6 | (u32)__builtin_ctzll(open);
    open = ~b->full_1[word_1];
  }
  return word_1 << 6 | (u32)__builtin_ctzll(open);
}

static int first_free(const bitmap *b, u32 min, u32 max) {
  if (min >= IDS) return -1;
  u32 word = min >> 6;
  u64 open = ~b->bits[word] & ALL << (min & 63);
  if (!open) {
    word = seek_above(b, word + 1);
    if (word == WORDS_0) return -1;
    open = ~b->bits[word];
  }
  u32 id = word << 6 | (u32)__builtin_ctzll(open);
  return id <= max ? (int)id : -1;
}

static void take(bitmap *b, u32 id) {
  u32 word = id >> 6, above = word >> 6;
  u64 old = b->bits[word], now = old | bit(id);
  b->bits[word] = now;
  b->count++;
  if (!old) {
    u64 any = b->any_1[above];
    b->any_1[above] = any | bit(word);
    if (!any) b->any_2[above >> 6] |= bit(above);
  }
  if (now == ALL && (b->full_1[above] |= bit(word)) == ALL) b->full_2[above >> 6] |= bit(above);
}

static bool release(bitmap *b, u32 id) {
  if (id >= IDS) return false;
  u32 word = id >> 6, above = word >> 6;
  u64 old = b->bits[word], now = old & ~bit(id);
  if (now == old) return false;
  b->bits[word] = now;
  b->count--;
  if (old == ALL) {
    u64 full = b->full_1[above];
    b->full_1[above] = full & ~bit(word);
    if (full == ALL) b->full_2[above >> 6] &= ~bit(above);
  }
  if (!now && !(b->any_1[above] &= ~bit(word))) b->any_2[above >> 6] &= ~bit(above);
  return true;
}

static __attribute__((noinline)) u32 alloc_many(bitmap *b, u32 min, u32 max, u32 *out, u32 count) {
  for (u32 i = 0; i < count; i++) {
    int id = first_free(b, min, max);
    if (id < 0) return i;
    take(b, (u32)id);
    out[i] = (u32)id;
    min = (u32)id + 1;
  }
  return count;
}

static __attribute__((noinline)) u32 free_many(bitmap *b, const u32 *list, u32 count) {
  u32 freed = 0;
  for (u32 i = 0; i < count; i++) freed += release(b, list[i]);
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
