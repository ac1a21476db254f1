/* SPDX-License-Identifier: MIT */
/*
 * Drives the DMA engine from user space: "dma vfio 0000:00:06.0" through vfio-pci, whose mappings are the kernel's
 * IOMMU domain; "dma sva 0000:00:06.0" with the PASID of this process. Prints "e2e: NAME: ok" or "... FAIL: WHY".
 * The registers are those of assembly/layout/dma-engine.ts.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/vfio.h>
#include <poll.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/klog.h>
#include <sys/mman.h>
#include <unistd.h>

enum { ID = 0x0, COMMAND = 0x8, STATUS = 0xc, ADDRESS = 0x10, LENGTH = 0x18, BUFFER_OFFSET = 0x1c, PASID = 0x20, RESULT = 0x24, CODE = 0x2c, PAGE_REQUESTS = 0x44, RESPONSES = 0x48, RESPONSE_CODE = 0x4c, INVALIDATIONS = 0x50 };
enum { START = 1, WRITE = 2, PASID_VALID = 4, ATS = 0x10, PRI = 0x20, INTERRUPT = 0x40 };
enum { BUSY = 1, DONE = 2, FAILED = 4 };
enum { OK = 0, PAGE_REQUEST_FAILED = 6 };
#define ENGINE_ID 0x1d3a2
#define BUFFER 0x10000
#define BAR_BYTES 0x20000
#define PAGE 4096
#define SPAN (16 * PAGE)

static volatile uint8_t *bar;
static int failures;
/* Faults that the kernel had told of so far. */
static unsigned told;

static uint32_t get(unsigned offset) { return *(volatile uint32_t *)(bar + offset); }
static void put(unsigned offset, uint32_t value) { *(volatile uint32_t *)(bar + offset) = value; }

static void verdict(const char *name, int good, const char *why, ...)
{
	va_list args;

	printf("e2e: %s: %s", name, good ? "ok" : "FAIL: ");
	if (!good) {
		va_start(args, why);
		vprintf(why, args);
		va_end(args);
		failures++;
	}
	printf("\n");
	fflush(stdout);
}

static void die(const char *what)
{
	verdict(what, 0, "%s", strerror(errno));
	exit(1);
}

/* The engine's buffer takes aligned words only. */
static void fill_buffer(const uint8_t *from, unsigned bytes)
{
	uint32_t word;

	for (unsigned at = 0; at < bytes; at += 4) {
		memcpy(&word, from + at, 4);
		put(BUFFER + at, word);
	}
}

static void take_buffer(uint8_t *into, unsigned bytes)
{
	for (unsigned at = 0; at < bytes; at += 4) {
		uint32_t word = get(BUFFER + at);

		memcpy(into + at, &word, 4);
	}
}

static void pattern(uint8_t *bytes, unsigned count, unsigned seed)
{
	for (unsigned at = 0; at < count; at++) bytes[at] = (at * 7 + at / 251 + seed) & 0xff;
}

static uint32_t transfer(uint32_t command, uint64_t address, unsigned bytes, uint32_t pasid)
{
	put(STATUS, DONE | FAILED);
	put(ADDRESS, (uint32_t)address);
	put(ADDRESS + 4, address >> 32);
	put(LENGTH, bytes);
	put(BUFFER_OFFSET, 0);
	put(PASID, pasid);
	put(COMMAND, command | START);
	for (int tries = 0; get(STATUS) & BUSY; tries++) {
		if (tries > 20000) return ~0u;
		usleep(1000);
	}
	return get(RESULT);
}

static int vfio_setup(const char *device, int *container)
{
	struct vfio_group_status status = { .argsz = sizeof(status) };
	char path[256], link[256];
	int group, fd, number;
	ssize_t length;

	snprintf(path, sizeof(path), "/sys/bus/pci/devices/%s/iommu_group", device);
	length = readlink(path, link, sizeof(link) - 1);
	if (length < 0) die("iommu group");
	link[length] = 0;
	number = atoi(strrchr(link, '/') + 1);
	*container = open("/dev/vfio/vfio", O_RDWR);
	snprintf(path, sizeof(path), "/dev/vfio/%d", number);
	group = open(path, O_RDWR);
	if (*container < 0 || group < 0) die("vfio group");
	if (ioctl(group, VFIO_GROUP_GET_STATUS, &status) || !(status.flags & VFIO_GROUP_FLAGS_VIABLE)) die("vfio group viable");
	if (ioctl(group, VFIO_GROUP_SET_CONTAINER, container)) die("vfio container");
	if (ioctl(*container, VFIO_SET_IOMMU, VFIO_TYPE1v2_IOMMU)) die("vfio iommu");
	fd = ioctl(group, VFIO_GROUP_GET_DEVICE_FD, device);
	if (fd < 0) die("vfio device");
	return fd;
}

static uint8_t *map(int container, uint64_t iova, int flags)
{
	uint8_t *memory = mmap(NULL, SPAN, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
	struct vfio_iommu_type1_dma_map request = { .argsz = sizeof(request), .flags = flags, .vaddr = (uintptr_t)memory, .iova = iova, .size = SPAN };

	if (memory == MAP_FAILED || ioctl(container, VFIO_IOMMU_MAP_DMA, &request)) die("map");
	return memory;
}

static int interrupt(int fd, uint64_t iova)
{
	char space[sizeof(struct vfio_irq_set) + sizeof(int)];
	struct vfio_irq_set *set = (void *)space;
	int event = eventfd(0, EFD_NONBLOCK);
	struct pollfd poller = { .fd = event, .events = POLLIN };

	*set = (struct vfio_irq_set){ .argsz = sizeof(space), .flags = VFIO_IRQ_SET_DATA_EVENTFD | VFIO_IRQ_SET_ACTION_TRIGGER, .index = VFIO_PCI_MSI_IRQ_INDEX, .count = 1 };
	memcpy(set->data, &event, sizeof(event));
	if (ioctl(fd, VFIO_DEVICE_SET_IRQS, set)) return 0;
	transfer(INTERRUPT, iova, 64, 0);
	return poll(&poller, 1, 5000) == 1;
}

/* Faults that the kernel has told of: "fault reason" of intel-iommu, "event: F_" of arm-smmu-v3. */
static unsigned faults_told(void)
{
	static char log[1 << 20];
	const int all = 3, size = klogctl(all, log, sizeof(log) - 1);
	unsigned count = 0;
	const char *at;

	log[size > 0 ? size : 0] = 0;
	for (at = log; (at = strstr(at, "fault reason ")); at++) count++;
	for (at = log; (at = strstr(at, "event: F_")); at++) count++;
	return count;
}

/* Waits for the kernel's word: a unit with one fault record loses the next fault until software has read it. */
static void faulted(const char *name)
{
	unsigned count = told, tries = 500;

	printf("e2e: code of %s: 0x%x\n", name, get(CODE));
	while (tries-- && (count = faults_told()) <= told) usleep(20000);
	told = count;
}

static void run_vfio(const char *device)
{
	const uint64_t iova = 0x10000000, readonly = 0x20000000, nowhere = 0x30000000;
	struct vfio_region_info region = { .argsz = sizeof(region), .index = VFIO_PCI_CONFIG_REGION_INDEX };
	struct vfio_iommu_type1_dma_unmap unmap = { .argsz = sizeof(unmap), .iova = iova, .size = SPAN };
	static uint8_t wanted[SPAN], found[SPAN];
	uint16_t command = 6;
	int container, fd = vfio_setup(device, &container);
	uint8_t *memory, *constant;
	uint32_t result;

	if (ioctl(fd, VFIO_DEVICE_GET_REGION_INFO, &region)) die("vfio config");
	if (pwrite(fd, &command, 2, region.offset + 4) != 2) die("vfio command");
	region.index = VFIO_PCI_BAR0_REGION_INDEX;
	if (ioctl(fd, VFIO_DEVICE_GET_REGION_INFO, &region)) die("vfio bar");
	bar = mmap(NULL, BAR_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, fd, region.offset);
	if (bar == MAP_FAILED) die("vfio bar map");
	verdict("engine", get(ID) == ENGINE_ID, "id 0x%x", get(ID));

	memory = map(container, iova, VFIO_DMA_MAP_FLAG_READ | VFIO_DMA_MAP_FLAG_WRITE);
	constant = map(container, readonly, VFIO_DMA_MAP_FLAG_READ);

	pattern(memory, SPAN, 1);
	result = transfer(0, iova, SPAN, 0);
	take_buffer(found, SPAN);
	verdict("read", result == OK && !memcmp(found, memory, SPAN), "result %u code 0x%x", result, get(CODE));

	pattern(wanted, SPAN, 77);
	fill_buffer(wanted, SPAN);
	memset(memory, 0x55, SPAN);
	result = transfer(WRITE, iova + 0x1234, 3 * PAGE + 5, 0);
	memset(found, 0x55, SPAN);
	memcpy(found + 0x1234, wanted, 3 * PAGE + 5);
	verdict("write", result == OK && !memcmp(found, memory, SPAN), "result %u code 0x%x", result, get(CODE));

	verdict("interrupt", interrupt(fd, iova), "none came");

	memset(constant, 0x33, SPAN);
	result = transfer(WRITE, readonly + 0x2008, 16, 0);
	memset(found, 0x33, SPAN);
	verdict("read-only", result != OK && !memcmp(found, constant, SPAN), "result %u", result);
	faulted("read-only");

	result = transfer(0, nowhere + 0x3010, 16, 0);
	verdict("unmapped", result != OK, "result %u", result);
	faulted("unmapped");

	memset(memory, 0x77, SPAN);
	if (ioctl(container, VFIO_IOMMU_UNMAP_DMA, &unmap) || unmap.size != SPAN) die("unmap");
	result = transfer(WRITE, iova + 0x1000, 64, 0);
	memset(found, 0x77, SPAN);
	verdict("after unmap", result != OK && !memcmp(found, memory, SPAN), "result %u", result);
	faulted("after unmap");
}

static void run_sva(const char *device)
{
	static uint8_t wanted[SPAN], found[SPAN];
	const uint32_t faulting = PASID_VALID | ATS | PRI;
	uint32_t pasid, result, requests, invalidations;
	char path[256];
	uint8_t *memory;
	int sva, resource;

	sva = open("/dev/sva", O_RDWR);
	if (sva < 0 || read(sva, &pasid, sizeof(pasid)) != sizeof(pasid)) die("bind");
	verdict("bind", pasid > 0, "pasid %u", pasid);
	printf("e2e: pasid %u\n", pasid);
	snprintf(path, sizeof(path), "/sys/bus/pci/devices/%s/resource0", device);
	resource = open(path, O_RDWR | O_SYNC);
	bar = mmap(NULL, BAR_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, resource, 0);
	if (bar == MAP_FAILED) die("bar");

	pattern(wanted, SPAN, 3);
	fill_buffer(wanted, SPAN);
	/* Not touched yet: the device has to ask for each page. */
	memory = mmap(NULL, SPAN, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	requests = get(PAGE_REQUESTS);
	result = transfer(WRITE | faulting, (uintptr_t)memory, SPAN, pasid);
	requests = get(PAGE_REQUESTS) - requests;
	verdict("page request", result == OK && requests > 0 && get(RESPONSES) > 0 && get(RESPONSE_CODE) == 0, "result %u code 0x%x requests %u responses %u code %u", result, get(CODE), requests, get(RESPONSES), get(RESPONSE_CODE));
	verdict("sva write", !memcmp(memory, wanted, SPAN), "bytes differ");
	printf("e2e: page requests %u\n", requests);

	pattern(memory, SPAN, 9);
	result = transfer(PASID_VALID, (uintptr_t)memory, SPAN, pasid);
	take_buffer(found, SPAN);
	verdict("sva read", result == OK && !memcmp(memory, found, SPAN), "result %u code 0x%x", result, get(CODE));

	/* What the process may not, its device may not. */
	mprotect(memory, SPAN, PROT_READ);
	result = transfer(WRITE | faulting, (uintptr_t)memory, 64, pasid);
	verdict("refused page request", result == PAGE_REQUEST_FAILED && get(RESPONSE_CODE) == 1, "result %u response %u", result, get(RESPONSE_CODE));

	invalidations = get(INVALIDATIONS);
	munmap(memory, SPAN);
	verdict("device invalidated", get(INVALIDATIONS) > invalidations, "no request came");
	result = transfer(PASID_VALID, (uintptr_t)memory, 64, pasid);
	verdict("after munmap", result != OK, "result %u", result);
	faulted("after munmap");
	printf("e2e: unmapped memory: 0x%lx\n", (unsigned long)memory);

	close(sva);
	result = transfer(PASID_VALID, (uintptr_t)wanted, 64, pasid);
	verdict("after unbind", result != OK, "result %u", result);
	faulted("after unbind");
}

int main(int count, char **words)
{
	if (count != 3) return 2;
	told = faults_told();
	if (!strcmp(words[1], "vfio")) run_vfio(words[2]);
	else run_sva(words[2]);
	return failures != 0;
}
