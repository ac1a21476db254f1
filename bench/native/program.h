/* What the programs beside the benchmark share: their clock, and the files they are handed. */
#pragma once
#include <fcntl.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "kernels.h"

/* Nanoseconds this process was given. */
static inline u64 now(void) {
  struct timespec t;
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
  return (u64)t.tv_sec * 1000000000ull + t.tv_nsec;
}

/* A file's bytes, to be written on without changing the file; 0 where it cannot be had. */
static inline void *map(const char *path, u64 bytes) {
  int fd = open(path, O_RDONLY);
  void *p = fd < 0 ? MAP_FAILED : mmap(0, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_POPULATE, fd, 0);
  if (fd >= 0) close(fd);
  return p == MAP_FAILED ? 0 : p;
}
