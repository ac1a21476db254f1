/* What the native kernels share: guest RAM as one flat mapping, requests, results. */
#pragma once
#include <stdbool.h>
#include <stdint.h>

typedef uint64_t u64;
typedef uint32_t u32;
typedef uint8_t u8;

/* The same records as the Wasm core's batch call. */
typedef struct {
  u32 sid, pasid;
  u64 address;
  u32 flags, pad;
} request;

typedef struct {
  u32 code, flags;
  u64 address;
  u8 page_shift, permissions;
  uint16_t attributes;
  u32 tags, pasid, extra;
  u64 fetch_address, ipa;
  u8 check, stage, class, level;
  u32 spare;
  u64 entry;
} result;

enum { READ = 1, WRITE = 2, EXECUTE = 4, PRIVILEGED = 8, HAS_PASID = 16, ATS_REQUEST = 32, ATS_TRANSLATED = 64 };
enum { RECORD = 16, QUALIFIED = 32, DIRTY = 1 << 11 };
enum { MAY_READ = 1, MAY_WRITE = 2, MAY_EXECUTE = 4 };

extern u8 *ram;
extern u64 ram_bytes;

/* The guest address as a pointer, or NULL for a bus error. */
static inline const u64 *fetch(u64 gpa) { return gpa < ram_bytes ? (const u64 *)(ram + gpa) : 0; }

static inline u64 ones(int msb, int lsb) { return (~0ull >> (63 - (msb - lsb))) << lsb; }

/* Set-up from the registers, and one walk. */
void vtd_configure(u64 cap, u64 ecap, u64 rtaddr, int haw);
u32 vtd_walk(const request *q, result *r);
void smmu_configure(u64 strtab_base, u32 strtab_cfg, u32 idr0, u32 idr1, u32 idr3, u32 idr5);
u32 smmu_walk(const request *q, result *r);

/* A cache of `sets` sets, empty; and one translation through it. */
void cache_open(u32 sets);
u32 vtd_translate(const request *q, result *r);
u32 smmu_translate(const request *q, result *r);
