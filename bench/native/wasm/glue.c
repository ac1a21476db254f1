/* The same kernels compiled to Wasm: guest RAM and the requests lie in the imported memory. */
#include "../kernels.h"

u8 *ram;
u64 ram_bytes;

__attribute__((export_name("set_ram"))) void set_ram(u32 at, u32 bytes) {
  ram = (u8 *)(uintptr_t)at;
  ram_bytes = bytes;
}

__attribute__((export_name("set_vtd"))) void set_vtd(u64 cap, u64 ecap, u64 rtaddr, int haw) {
  vtd_configure(cap, ecap, rtaddr, haw);
}

__attribute__((export_name("set_smmu"))) void set_smmu(u64 base, u32 cfg, u32 idr0, u32 idr1, u32 idr3, u32 idr5) {
  smmu_configure(base, cfg, idr0, idr1, idr3, idr5);
}

__attribute__((export_name("walk_vtd"))) u32 walk_vtd(const request *q, result *r, u32 count) {
  u32 faults = 0;
  for (u32 i = 0; i < count; i++) faults += vtd_walk(&q[i], &r[i]) != 0;
  return faults;
}

__attribute__((export_name("walk_smmu"))) u32 walk_smmu(const request *q, result *r, u32 count) {
  u32 faults = 0;
  for (u32 i = 0; i < count; i++) faults += smmu_walk(&q[i], &r[i]) != 0;
  return faults;
}
