/** Run in a process of its own: from import of what is published to the first translation. Prints milliseconds of CPU time. */
const published = new URL("../../../dist/index.js", import.meta.url).href;
const start = process.cpuUsage();
const { GuestMemory, PageAllocator, VtdTables, VtdWalker } = (await import(
  published
)) as typeof import("../src/index.ts");
const memory = new GuestMemory({ ram: [{ base: 0n, size: 16n << 20n }] });
const tables = new VtdTables(memory, new PageAllocator(memory, 0x10_0000n, 0x10_0000n), "scalable");
const pages = tables.firstStage(4);
pages.map(0x1234_5000n, 0x42_0000n, { P: 1, RW: 1, US: 1, A: 1, D: 1 });
tables.setScalableContext(0x20, { PASIDE: 1, PDTS: 7 });
tables.setPasid(0x20, 0x2a, { PGTT: 1, DID: 1, PWSNP: 1 }, { first: pages });
const walker = new VtdWalker(memory, { cap: 0xf9ed008cee780c66n, ecap: 0x3fef9ea6f0efdfn, rtaddr: tables.rtaddr });
const outcome = walker.translate({ sid: 0x20, pasid: 0x2a, address: 0x1234_5678n });
if (!outcome.ok || outcome.address !== 0x42_0678n) throw new Error(`bench data: ${JSON.stringify(outcome.answer)}`);
const { user, system } = process.cpuUsage(start);
console.log((user + system) / 1000);

export {};
