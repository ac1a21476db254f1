/*
 * The native kernels' side of the benchmark: reads one command a line, answers with one line.
 *
 *   ram PATH BYTES              maps guest RAM (private: writes stay here)
 *   requests PATH COUNT         reads request records
 *   vtd CAP ECAP RTADDR HAW     sets the unit up
 *   smmu STRTAB_BASE STRTAB_BASE_CFG IDR0 IDR1 IDR3 IDR5
 *   cache SETS                  opens an empty cache of translations
 *   walk vtd|smmu TIMES         walks all requests TIMES times -> nanoseconds, sum of outputs, faults
 *   translate vtd|smmu TIMES    the same through the cache
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "program.h"

u8 *ram;
u64 ram_bytes;
static request *requests;
static result *results;
static long request_count;

int bitmap_command(const char *line);

typedef u32 translation(const request *, result *);

static void walk(translation *one, long times) {
  u64 sum = 0, faults = 0, start = now();
  for (long t = 0; t < times; t++)
    for (long i = 0; i < request_count; i++) {
      if (one(&requests[i], &results[i])) faults++;
      sum += results[i].address;
    }
  u64 ns = now() - start;
  printf("%llu %llu %llu\n", (unsigned long long)ns, (unsigned long long)sum, (unsigned long long)faults);
}

int main(void) {
  char line[4096], path[4000], vendor[16];
  unsigned long long a, b, c, d, e, f;
  while (fgets(line, sizeof line, stdin)) {
    if (sscanf(line, "ram %3999s %llu", path, &a) == 2) {
      if (ram) munmap(ram, ram_bytes);
      ram = map(path, ram_bytes = a);
      puts(ram ? "ok" : "error cannot map");
    } else if (sscanf(line, "requests %3999s %llu", path, &a) == 2) {
      request_count = (long)a;
      requests = map(path, a * sizeof(request));
      free(results);
      results = calloc(a, sizeof(result));
      puts(requests && results ? "ok" : "error cannot map");
    } else if (sscanf(line, "vtd %llx %llx %llx %llx", &a, &b, &c, &d) == 4) {
      vtd_configure(a, b, c, (int)d);
      puts("ok");
    } else if (sscanf(line, "smmu %llx %llx %llx %llx %llx %llx", &a, &b, &c, &d, &e, &f) == 6) {
      smmu_configure(a, (u32)b, (u32)c, (u32)d, (u32)e, (u32)f);
      puts("ok");
    } else if (sscanf(line, "cache %llu", &a) == 1) {
      cache_open((u32)a);
      puts("ok");
    } else if (sscanf(line, "walk %15s %llu", vendor, &a) == 2) {
      walk(vendor[0] == 'v' ? vtd_walk : smmu_walk, (long)a);
    } else if (sscanf(line, "translate %15s %llu", vendor, &a) == 2) {
      walk(vendor[0] == 'v' ? vtd_translate : smmu_translate, (long)a);
    } else if (!bitmap_command(line)) {
      puts("error unknown command");
    }
    fflush(stdout);
  }
  return 0;
}
