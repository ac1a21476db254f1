/*
 * The RISC-V IOMMU reference model (riscv-non-isa/riscv-iommu, iommu_ref_model) beside the benchmark's
 * first-stage walks. Compiled with the model's own sources out of a checkout; nothing of it lies here.
 *
 * The model is handed the same devices, PASIDs, pages and requests in its own architecture's tables, with
 * as many fetches a walk as VT-d's: device directory, device context, process directory, process context,
 * four levels of Sv48. Its caches hold two entries each and cannot be turned off: they are emptied before
 * each request, or it would be measured on fewer fetches than the others. It counts no events.
 *
 *   memory BYTES                                empties guest RAM and resets the IOMMU
 *   pools POOLS PAGES FIRST PATH                first-stage tables: the output address of each page from FIRST on, u64
 *   devices DEVICES PASIDS PATH                 contexts: which pool each PASID of each device uses, u32
 *   requests PATH COUNT                         reads request records
 *   walk TIMES                                  walks all requests TIMES times
 *                                               -> nanoseconds, sum of outputs, faults, fetches
 */
#define RVI_IOMMU_NO_SHORT_NAMES
#include "iommu.h"
#include "tables_api.h"

#include "../native/program.h"

enum { PHYSICAL_BITS = 46, PAGE = RVI_IOMMU_PAGESIZE };

static iommu_t iommu;
static u8 *memory;
static u64 memory_bytes, next_page, fetches;
static iosatp_t *roots;
static hb_to_iommu_req_t *requests;
static iommu_to_hb_rsp_t *responses;
static long request_count;

/* ---- What the model asks of its surroundings ---- */

static uint8_t copy(void *to, const void *from, u64 address, u32 size) {
  if (address > memory_bytes - size) return RVI_IOMMU_ACCESS_FAULT;
  if (size == 8)
    memcpy(to, from, 8);
  else
    memcpy(to, from, size);
  return 0;
}

uint8_t read_memory(uint64_t address, uint8_t size, char *data, uint32_t rcid, uint32_t mcid, uint32_t pma, int endian) {
  fetches++;
  return copy(data, memory + address, address, size);
}

uint8_t read_memory_for_AMO(uint64_t address, uint8_t size, char *data, uint32_t rcid, uint32_t mcid, uint32_t pma,
                            int endian) {
  return read_memory(address, size, data, rcid, mcid, pma, endian);
}

uint8_t write_memory(char *data, uint64_t address, uint32_t size, uint32_t rcid, uint32_t mcid, uint32_t pma,
                     int endian) {
  return copy(memory + address, data, address, size);
}

uint8_t read_memory_test(uint64_t address, uint8_t size, char *data) {
  return copy(data, memory + address, address, size);
}

uint8_t write_memory_test(char *data, uint64_t address, uint32_t size) {
  return copy(memory + address, data, address, size);
}

uint64_t get_free_ppn(uint64_t count) {
  u64 first = (next_page + count - 1) / count * count;
  next_page = first + count;
  return first;
}

/* Requests read or write, without privilege. */
void get_attribs_from_req(hb_to_iommu_req_t *request, uint8_t *read, uint8_t *write, uint8_t *exec, uint8_t *priv) {
  *write = request->tr.read_writeAMO == RVI_IOMMU_WRITE;
  *read = !*write;
  *exec = 0;
  *priv = RVI_IOMMU_U_MODE;
}

/* There are no guests, no MSI pages, no ATS. */
void handle_virtual_interrupt_file_overlap(device_context_t *context, uint64_t gpa, uint64_t *page_bytes) {}
uint64_t get_free_gppn(uint64_t count, iohgatp_t iohgatp) { return get_free_ppn(count); }
void iommu_to_hb_do_global_observability_sync(uint8_t reads, uint8_t writes) {}
void send_msg_iommu_to_hb(ats_msg_t *message) {}

/* ---- Tables ---- */

static bool reset(u64 bytes) {
  if (memory) munmap(memory, memory_bytes);
  memory = mmap(0, memory_bytes = bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED) return false;
  next_page = 1;
  memset(&iommu, 0, sizeof iommu);
  capabilities_t can = {.version = 0x10, .Sv48 = 1, .Sv48x4 = 1, .amo_hwad = 1, .pas = PHYSICAL_BITS, .pd17 = 1};
  fctl_t fctl = {0};
  if (reset_iommu(&iommu, 0, 0, 0, 0, RVI_IOMMU_Off, RVI_IOMMU_DDT_2LVL, 0xffff, 0, 0, 0, can, fctl, PAGE, PAGE, PAGE,
                  PAGE, PAGE, PAGE, PAGE, PAGE))
    return false;
  ddtp_t ddtp = {.iommu_mode = RVI_IOMMU_DDT_2LVL, .ppn = get_free_ppn(1)};
  write_register(&iommu, RVI_IOMMU_DDTP_OFFSET, 8, ddtp.raw);
  return read_register(&iommu, RVI_IOMMU_DDTP_OFFSET, 8) == ddtp.raw;
}

static bool add_pools(u32 pools, u32 pages, u64 first, const u64 *outputs) {
  free(roots);
  roots = calloc(pools, sizeof *roots);
  for (u32 pool = 0; pool < pools; pool++) {
    roots[pool] = (iosatp_t){.MODE = RVI_IOMMU_IOSATP_Sv48, .PPN = get_free_ppn(1)};
    for (u32 page = 0; page < pages; page++) {
      pte_t leaf = {.V = 1, .R = 1, .W = 1, .U = 1, .A = 1, .D = 1, .PPN = *outputs++ / PAGE};
      if (add_s_stage_pte(roots[pool], first + (u64)page * PAGE, leaf, 0, 0) == -1ull) return false;
    }
  }
  return true;
}

static bool add_devices(u32 devices, u32 pasids, const u32 *pool_of) {
  for (u32 device = 0; device < devices; device++) {
    device_context_t context = {.tc = {.V = 1, .PDTV = 1, .SADE = 1}};
    context.fsc.pdtp.MODE = RVI_IOMMU_PD17;
    context.fsc.pdtp.PPN = get_free_ppn(1);
    if (add_dev_context(&iommu, &context, device) == -1ull) return false;
    for (u32 pasid = 0; pasid < pasids; pasid++) {
      u32 pool = *pool_of++;
      process_context_t process = {.ta = {.V = 1, .PSCID = pool}, .fsc = {.iosatp = roots[pool]}};
      if (add_process_context(&iommu, &context, &process, pasid) == -1ull) return false;
    }
  }
  return true;
}

static bool read_requests(const request *records, long count) {
  free(requests);
  free(responses);
  requests = calloc(count, sizeof *requests);
  responses = calloc(count, sizeof *responses);
  if (!records || !requests || !responses) return false;
  request_count = count;
  for (long i = 0; i < count; i++)
    requests[i] = (hb_to_iommu_req_t){
        .device_id = records[i].sid,
        .pid_valid = 1,
        .process_id = records[i].pasid,
        .tr = {.at = ADDR_TYPE_UNTRANSLATED,
               .iova = records[i].address,
               .length = 1,
               .read_writeAMO = records[i].flags & WRITE ? RVI_IOMMU_WRITE : RVI_IOMMU_READ},
    };
  return true;
}

/* ---- Walks ---- */

static void empty_caches(void) {
  for (int i = 0; i < RVI_IOMMU_DDT_CACHE_SIZE; i++) iommu.ddt_cache[i].valid = 0;
  for (int i = 0; i < RVI_IOMMU_PDT_CACHE_SIZE; i++) iommu.pdt_cache[i].valid = 0;
  for (int i = 0; i < RVI_IOMMU_TLB_SIZE; i++) iommu.tlb[i].valid = 0;
}

static void walk(long times) {
  u64 sum = 0, faults = 0, start = now();
  fetches = 0;
  for (long t = 0; t < times; t++)
    for (long i = 0; i < request_count; i++) {
      empty_caches();
      iommu_translate_iova(&iommu, &requests[i], &responses[i]);
      if (responses[i].status != SUCCESS || responses[i].trsp.S) faults++;
      sum += responses[i].trsp.PPN * PAGE + requests[i].tr.iova % PAGE;
    }
  u64 ns = now() - start;
  printf("%llu %llu %llu %llu\n", (unsigned long long)ns, (unsigned long long)sum, (unsigned long long)faults,
         (unsigned long long)fetches);
}

static void answer(bool done) { puts(done && next_page * PAGE <= memory_bytes ? "ok" : "error no room, or refused"); }

int main(void) {
  char line[4096], path[4000];
  unsigned long long a, b, c;
  while (fgets(line, sizeof line, stdin)) {
    if (sscanf(line, "memory %llu", &a) == 1) {
      answer(reset(a));
    } else if (sscanf(line, "pools %llu %llu %llu %3999s", &a, &b, &c, path) == 4) {
      const u64 *outputs = map(path, a * b * sizeof *outputs);
      answer(outputs && add_pools((u32)a, (u32)b, c, outputs));
    } else if (sscanf(line, "devices %llu %llu %3999s", &a, &b, path) == 3) {
      const u32 *pool_of = map(path, a * b * sizeof *pool_of);
      answer(pool_of && add_devices((u32)a, (u32)b, pool_of));
    } else if (sscanf(line, "requests %3999s %llu", path, &a) == 2) {
      answer(read_requests(map(path, a * sizeof(request)), (long)a));
    } else if (sscanf(line, "walk %llu", &a) == 1) {
      walk((long)a);
    } else {
      puts("error unknown command");
    }
    fflush(stdout);
  }
  return 0;
}
