/** The vfio-user protocol as a client meets it, over a real socket: QEMU docs/interop/vfio-user.rst. */
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { bridgeRig, type Rig } from "../support/bridge-rig.ts";
import { runs, seed } from "../support/runs.ts";
import { CMD, message, pack, VfioClient, version } from "../support/vfio-client.ts";

const EINVAL = 22;
const EEXIST = 17;
const ENOENT = 2;
const EOPNOTSUPP = 95;
const CONFIG = 7;
const BAR0 = 0;

async function connected(): Promise<{ rig: Rig; client: VfioClient }> {
  const rig = await bridgeRig();
  return { rig, client: await rig.client(rig.iommu) };
}

describe("version negotiation", () => {
  const negotiate = async (payload: Buffer) => {
    const rig = await bridgeRig();
    const client = await VfioClient.connect(rig.iommu);
    const reply = await client.call(CMD.VERSION, payload);
    return { client, reply, rig };
  };

  it("answers major 0, the lower minor, and the capabilities that were proposed, with a NUL", async () => {
    const { reply } = await negotiate(version(0, 0));
    expect([reply.flags, reply.errno, reply.command]).toEqual([1, 0, CMD.VERSION]);
    expect([reply.payload.readUInt16LE(0), reply.payload.readUInt16LE(2)]).toEqual([0, 0]);
    expect(reply.payload.at(-1)).toBe(0);
    const { capabilities } = JSON.parse(reply.payload.subarray(4, -1).toString()) as {
      capabilities: Record<string, unknown>;
    };
    expect(capabilities).toEqual({
      max_msg_fds: 8,
      max_data_xfer_size: 1048576,
      max_dma_maps: 4096,
      write_multiple: true,
    });
  });

  it.each([
    [version(0, 7), 1],
    [version(0, 1), 1],
  ])("never offers a higher minor than its own or the client's", async (payload, minor) => {
    expect((await negotiate(payload)).reply.payload.readUInt16LE(2)).toBe(minor);
  });

  it.each([
    ["no data", undefined],
    ["only a NUL", ""],
    ["no capabilities", "{}"],
    ["none proposed", '{"capabilities":{}}'],
  ])("with %s proposes nothing", async (_, json) => {
    const { reply } = await negotiate(json === undefined ? version(0, 1).subarray(0, 4) : version(0, 1, json));
    expect(reply.errno).toBe(0);
    expect(reply.payload.subarray(4).toString()).toBe('{"capabilities":{}}\0');
  });

  it.each([
    ["another major version", version(1, 0)],
    ["no room for a version", Buffer.from([0, 0, 0])],
    ["broken JSON", version(0, 1, '{"capabilities":')],
    ["capabilities that are no object", version(0, 1, '{"capabilities":[1]}')],
    ["JSON that is no object", version(0, 1, "null")],
    ["JSON without its NUL", version(0, 1).subarray(0, -1)],
  ])("refuses %s with EINVAL, and hangs up", async (_, payload) => {
    const { client, reply } = await negotiate(payload);
    expect([reply.flags, reply.errno, reply.payload.length]).toEqual([0x21, EINVAL, 0]);
    await client.closed;
  });

  it("refuses any other command first, and hangs up", async () => {
    const rig = await bridgeRig();
    const client = await VfioClient.connect(rig.iommu);
    expect((await client.call(CMD.GET_INFO, pack(16, 0, 0, 0))).errno).toBe(EINVAL);
    await client.closed;
    expect(rig.log.join()).toContain("before VERSION");
  });

  it("happens once", async () => {
    const { client } = await connected();
    expect((await client.call(CMD.VERSION, version())).errno).toBe(EINVAL);
    expect((await client.call(CMD.GET_INFO, pack(16, 0, 0, 0))).errno).toBe(0);
  });
});

describe("what the function is", () => {
  it("device info: PCI, can be reset, 9 regions, 5 interrupt types", async () => {
    const { client } = await connected();
    const { payload } = await client.call(CMD.GET_INFO, pack(16, 0, 0, 0));
    expect(payload).toEqual(pack(16, 3, 9, 5));
    // A client with room for more gets no more.
    expect((await client.call(CMD.GET_INFO, pack(200, 0, 0, 0))).payload).toEqual(pack(16, 3, 9, 5));
  });

  it("region info: BAR 0 and configuration space, the others empty", async () => {
    const { client } = await connected();
    for (let index = 0; index < 9; index++) {
      const { payload } = await client.call(CMD.GET_REGION_INFO, pack(32, 0, index, 0, 0n, 0n));
      const size = index === BAR0 ? 4096n : index === CONFIG ? 256n : 0n;
      expect(payload).toEqual(pack(32, size === 0n ? 0 : 3, index, 0, size, 0n));
    }
  });

  it("irq info: the IOMMU has no interrupts of its own", async () => {
    const { client } = await connected();
    // Error reports (3) are not a type that it has.
    for (const index of [0, 1, 2, 4]) {
      const { payload } = await client.call(CMD.GET_IRQ_INFO, pack(16, 0, index, 0));
      expect(payload).toEqual(pack(16, 0, index, 0));
    }
  });

  it.each([
    ["region 9", CMD.GET_REGION_INFO, pack(32, 0, 9, 0, 0n, 0n)],
    ["a region request cut short", CMD.GET_REGION_INFO, pack(32, 0, 0)],
    ["no room for the region's answer", CMD.GET_REGION_INFO, pack(31, 0, 0, 0, 0n, 0n)],
    ["no room for the device's answer", CMD.GET_INFO, pack(15, 0, 0, 0)],
    ["an empty device request", CMD.GET_INFO, Buffer.alloc(0)],
    ["error interrupts", CMD.GET_IRQ_INFO, pack(16, 0, 3, 0)],
    ["interrupt type 5", CMD.GET_IRQ_INFO, pack(16, 0, 5, 0)],
    ["no room for the interrupt's answer", CMD.GET_IRQ_INFO, pack(12, 0, 0, 0)],
  ])("refuses %s", async (_, command, payload) => {
    const { client } = await connected();
    const reply = await client.call(command, payload);
    expect([reply.flags, reply.errno, reply.payload.length]).toEqual([0x21, EINVAL, 0]);
  });

  it.each([CMD.GET_REGION_IO_FDS, CMD.FEATURE, 14, 17, 18, 99, 0])("does not support command %i", async (command) => {
    const { client } = await connected();
    expect((await client.call(command, pack(16, 0, 0, 0))).errno).toBe(EOPNOTSUPP);
  });

  it.each([CMD.DMA_READ, CMD.DMA_WRITE])("takes no command %i, which is the server's", async (command) => {
    const { client } = await connected();
    expect((await client.call(command, pack(0n, 0n))).errno).toBe(EINVAL);
  });
});

describe("interrupt set-up", () => {
  const TRIGGER = 0x20;
  const NONE = 1;
  const BOOL = 2;
  const EVENTFD = 4;

  it("switching a type off works for every type", async () => {
    const { client } = await connected();
    for (let index = 0; index < 5; index++) {
      expect((await client.call(CMD.SET_IRQS, pack(20, TRIGGER | NONE, index, 0, 0))).errno).toBe(0);
    }
  });

  it.each([
    ["no data flag", pack(20, TRIGGER, 1, 0, 0)],
    ["two data flags", pack(20, TRIGGER | NONE | BOOL, 1, 0, 0)],
    ["no action", pack(20, NONE, 1, 0, 0)],
    ["two actions", pack(20, 0x18 | NONE, 1, 0, 0)],
    ["unknown flags", pack(20, TRIGGER | NONE | 0x40, 1, 0, 0)],
    ["an unknown type", pack(20, TRIGGER | NONE, 5, 0, 0)],
    ["an interrupt that is not there", pack(20, TRIGGER | EVENTFD, 1, 0, 1)],
    ["numbers that overflow", pack(20, TRIGGER | EVENTFD, 1, 0xffff_ffff, 0xffff_ffff)],
    ["a start without a count", pack(20, TRIGGER | NONE, 1, 1, 0)],
    ["too short a message", pack(20, TRIGGER | NONE, 1, 0)],
  ])("refuses %s", async (_, payload) => {
    const { client } = await connected();
    expect((await client.call(CMD.SET_IRQS, payload)).errno).toBe(EINVAL);
  });
});

describe("DMA map and unmap", () => {
  it("maps several regions, and unmaps exactly what was mapped", async () => {
    const { client } = await connected();
    expect(await client.map(0n, 0x1000_0000n, 0n)).toMatchObject({ flags: 1, payload: Buffer.alloc(0) });
    expect((await client.map(0x1_0000_0000n, 0x2000n, 0x1000_0000n)).errno).toBe(0);
    expect((await client.unmap(0n, 0x1000n)).errno).toBe(ENOENT);
    expect((await client.unmap(0x1_0000_0000n, 0x2000n)).payload).toEqual(pack(24, 0, 0x1_0000_0000n, 0x2000n));
    expect((await client.unmap(0x1_0000_0000n, 0x2000n)).errno).toBe(ENOENT);
    expect((await client.unmap(0n, 0x1000_0000n)).errno).toBe(0);
  });

  it("EEXIST over an existing region, even by a byte", async () => {
    const { client } = await connected();
    await client.map(0x10000n, 0x10000n, 0x10000n);
    for (const [address, size] of [
      [0x10000n, 0x10000n],
      [0x1ffffn, 1n],
      [0n, 0x10001n],
      [0n, 0x100000n],
    ] as const) {
      expect((await client.map(address, size, 0n)).errno).toBe(EEXIST);
    }
    expect((await client.map(0x20000n, 0x1000n, 0x20000n)).errno).toBe(0);
    expect((await client.map(0n, 0x10000n, 0n)).errno).toBe(0);
  });

  it("unmap of all takes address and size 0, and nothing else", async () => {
    const { client } = await connected();
    await client.map(0n, 0x1000n, 0n);
    await client.map(0x2000n, 0x1000n, 0x2000n);
    expect((await client.unmap(0x1000n, 0n, 2)).errno).toBe(EINVAL);
    expect((await client.unmap(0n, 0n, 2)).errno).toBe(0);
    expect((await client.map(0n, 0x4000n, 0n)).errno).toBe(0);
    expect((await client.unmap(0n, 0x4000n, 1)).errno).toBe(EOPNOTSUPP);
  });

  it.each([
    ["an empty region", pack(32, 3, 0n, 0x1000n, 0n)],
    ["a region beyond 64 bits", pack(32, 3, 0n, 0xffff_ffff_ffff_f000n, 0x1001n)],
    ["too short a message", pack(32, 3, 0n, 0x1000n)],
  ])("refuses %s", async (_, payload) => {
    const { client } = await connected();
    expect((await client.call(CMD.DMA_MAP, payload)).errno).toBe(EINVAL);
  });

  it("has room for 4096 regions, ENOSPC after that", async () => {
    const { client } = await connected();
    const replies = Array.from({ length: 4096 }, (_, i) => client.map(BigInt(i) * 0x1000n, 0x1000n, 0n));
    expect((await Promise.all(replies)).every(({ errno }) => errno === 0)).toBe(true);
    expect((await client.map(0x8000_0000n, 0x1000n, 0n)).errno).toBe(28);
  });
});

describe("region access", () => {
  it("reads the unit's registers, 4 and 8 bytes and more at once", async () => {
    const { client } = await connected();
    // The preset's CAP and ECAP, as that machine has them.
    expect(await client.read32(BAR0, 0)).toBe(0x70);
    const cap = await client.read64(BAR0, 8);
    expect(cap).toBe((BigInt(await client.read32(BAR0, 12)) << 32n) | BigInt(await client.read32(BAR0, 8)));
    expect((await client.read(BAR0, 0, 4096)).readBigUInt64LE(8)).toBe(cap);
    expect((await client.read(BAR0, 9, 2)).readUInt16LE()).toBe(Number((cap >> 8n) & 0xffffn));
  });

  it("writes registers, and repeats offset, region and count", async () => {
    const { client } = await connected();
    const head = pack(0x3cn, BAR0, 4);
    const { payload } = await client.call(CMD.REGION_WRITE, Buffer.concat([head, pack(0x1234)]));
    expect(payload).toEqual(head);
    expect(await client.read32(BAR0, 0x3c)).toBe(0x1234);
    // A write that is no whole register does nothing.
    await client.write16(BAR0, 0x3c, 0x5678);
    expect(await client.read32(BAR0, 0x3c)).toBe(0x1234);
  });

  it("a write that wants no reply gets none, and comes before what follows", async () => {
    const { client } = await connected();
    client.post(CMD.REGION_WRITE, Buffer.concat([pack(0x3cn, BAR0, 4), pack(0x77)]));
    client.post(99);
    expect(await client.read32(BAR0, 0x3c)).toBe(0x77);
  });

  it("several writes in one message, all or none", async () => {
    const { client } = await connected();
    const one = (offset: bigint, region: number, value: bigint, count = 4) => [offset, region, count, value] as const;
    const both = pack(2n, ...one(0x3cn, BAR0, 1n), ...one(0x40n, BAR0, 0xfee0_1000n));
    expect((await client.call(CMD.WRITE_MULTI, both)).payload).toEqual(pack(2n));
    expect([await client.read32(BAR0, 0x3c), await client.read32(BAR0, 0x40)]).toEqual([1, 0xfee0_1000]);
    const bad = pack(2n, ...one(0x3cn, BAR0, 9n), ...one(0x1000n, BAR0, 0n));
    expect((await client.call(CMD.WRITE_MULTI, bad)).errno).toBe(EINVAL);
    expect(await client.read32(BAR0, 0x3c)).toBe(1);
    for (const payload of [
      pack(2n, ...one(0n, BAR0, 0n)),
      pack(1n, ...one(0n, BAR0, 0n, 9)),
      pack(1),
      pack(2n ** 63n),
    ]) {
      expect((await client.call(CMD.WRITE_MULTI, payload)).errno).toBe(EINVAL);
    }
  });

  it.each([
    ["beyond the end", pack(4095n, BAR0, 2)],
    ["far beyond the end", pack(0xffff_ffff_ffff_fffcn, BAR0, 4)],
    ["of no bytes", pack(0n, BAR0, 0)],
    ["of a region without bytes", pack(0n, 1, 4)],
    ["of region 9", pack(0n, 9, 4)],
    ["cut short", pack(0n, BAR0)],
  ])("EINVAL for a read or write %s", async (_, payload) => {
    const { client } = await connected();
    expect((await client.call(CMD.REGION_READ, payload)).errno).toBe(EINVAL);
    expect((await client.call(CMD.REGION_WRITE, payload)).errno).toBe(EINVAL);
  });

  it("EINVAL for a write with other data than it says", async () => {
    const { client } = await connected();
    expect((await client.call(CMD.REGION_WRITE, pack(0n, BAR0, 8, 1))).errno).toBe(EINVAL);
  });

  it("reset puts registers and configuration space back", async () => {
    const { client } = await connected();
    await client.write32(BAR0, 0x3c, 0x1234);
    await client.write32(CONFIG, 0x10, 0xfebf_d000);
    await client.write16(CONFIG, 4, 6);
    expect((await client.call(CMD.RESET)).payload.length).toBe(0);
    expect(await client.read32(BAR0, 0x3c)).toBe(0);
    expect((await client.read(CONFIG, 4, 2)).readUInt16LE()).toBe(0);
    expect(await client.read32(CONFIG, 0x10)).toBe(0);
  });
});

describe("clients come and go", () => {
  it("one at a time: the next waits until the first has gone", async () => {
    const rig = await bridgeRig();
    const first = await rig.client(rig.iommu);
    await first.write32(BAR0, 0x3c, 0x55);
    const second = await VfioClient.connect(rig.iommu);
    const greeting = second.call(CMD.VERSION, version());
    await first.read32(BAR0, 0);
    await first.close();
    expect((await greeting).errno).toBe(0);
    // The function keeps its state.
    expect(await second.read32(BAR0, 0x3c)).toBe(0x55);
    await second.close();
  });

  it("memory that a client mapped is gone with it", async () => {
    const rig = await bridgeRig();
    const first = await rig.client(rig.iommu);
    await first.map(0n, 0x1000n, 0n);
    expect(rig.server.bridge.memory.contains(0n)).toBe(true);
    await first.close();
    const second = await rig.client(rig.iommu);
    expect(rig.server.bridge.memory.contains(0n)).toBe(false);
    expect((await second.map(0n, 0x1000n, 0n)).errno).toBe(0);
  });

  it("twenty in turn, each dying in the middle of a message", async () => {
    const rig = await bridgeRig();
    for (let i = 0; i < 20; i++) {
      const client = await rig.client(rig.iommu);
      client.socket.write(message(1, CMD.REGION_READ, pack(0n, BAR0, 4)).subarray(0, 1 + i));
      await client.close();
    }
    const last = await rig.client(rig.iommu);
    expect(await last.read32(BAR0, 0)).toBe(0x70);
  });
});

describe("streams", () => {
  /** A conversation: commands, and what each must answer with. */
  const conversation = [
    message(1, CMD.VERSION, version()),
    message(2, CMD.GET_INFO, pack(16, 0, 0, 0)),
    message(3, CMD.REGION_WRITE, pack(0x3cn, BAR0, 4, 0xabcd)),
    message(4, CMD.REGION_READ, pack(0x3cn, BAR0, 4)),
    message(5, CMD.REGION_READ, pack(0n, 9, 4)),
    message(6, CMD.DMA_MAP, pack(32, 3, 0n, 0n, 0x1000n)),
    message(7, CMD.RESET),
  ];

  it("are cut anywhere and answered the same", async () => {
    const rig = await bridgeRig();
    const bytes = Buffer.concat(conversation);
    await fc.assert(
      fc.asyncProperty(
        fc.uniqueArray(fc.integer({ min: 1, max: bytes.length - 1 }), { maxLength: 40 }),
        async (cuts) => {
          const client = await VfioClient.connect(rig.iommu);
          client.socket.setNoDelay(true);
          const replies = conversation.map((_, i) => client.replyTo(i + 1));
          let from = 0;
          for (const cut of [...cuts.sort((a, b) => a - b), bytes.length]) {
            client.socket.write(bytes.subarray(from, cut));
            // Gives the server a chance to see the piece on its own.
            await new Promise((resolve) => setImmediate(resolve));
            from = cut;
          }
          const [hello, info, write, read, bad, map, reset] = await Promise.all(replies);
          await client.close();
          expect([hello, info, write, read, bad, map, reset].map((reply) => reply?.errno)).toEqual([
            0, 0, 0, 0, 22, 0, 0,
          ]);
          expect(read?.payload.readUInt32LE(16)).toBe(0xabcd);
        },
      ),
      { numRuns: runs(40, 1000), seed },
    );
  });

  it.each([
    ["a size below the header's", (bytes: Buffer) => bytes.writeUInt32LE(15, 4)],
    ["a size of 0", (bytes: Buffer) => bytes.writeUInt32LE(0, 4)],
    ["a size beyond any message's", (bytes: Buffer) => bytes.writeUInt32LE(0x7fff_ffff, 4)],
    ["an unknown type", (bytes: Buffer) => bytes.writeUInt32LE(2, 8)],
    ["a reply to nothing", (bytes: Buffer) => bytes.writeUInt32LE(1, 8)],
  ])("with %s end the connection, and only that", async (_, spoil) => {
    const { rig, client } = await connected();
    const bytes = message(1, CMD.RESET);
    spoil(bytes);
    client.socket.write(bytes);
    await client.closed;
    expect(rig.log).toEqual([expect.stringMatching(/^iommu: client closed: (?!internal error)/)]);
    const next = await rig.client(rig.iommu);
    expect(await next.read32(BAR0, 0)).toBe(0x70);
  });

  it("a message of a megabyte is answered, also when it comes in small pieces", async () => {
    const { client } = await connected();
    const data = Buffer.alloc(1024 * 1024);
    const bytes = message(77, CMD.REGION_WRITE, Buffer.concat([pack(0n, BAR0, data.length), data]));
    const reply = client.replyTo(77);
    for (let at = 0; at < bytes.length; at += 1000) client.socket.write(bytes.subarray(at, at + 1000));
    expect((await reply).errno).toBe(EINVAL);
  });

  it("of garbage and of mutated messages never take the server down", async () => {
    const rig = await bridgeRig();
    const bytes = Buffer.concat(conversation);
    const mutation = fc.tuple(fc.integer({ min: 0, max: bytes.length - 1 }), fc.integer({ min: 0, max: 255 }));
    const mutated = fc.array(mutation, { maxLength: 12 }).map((changes) => {
      const copy = Buffer.from(bytes);
      for (const [at, value] of changes) copy[at] = value;
      return copy;
    });
    const garbage = fc
      .uint8Array({ maxLength: 200 })
      .map((random) => Buffer.concat([conversation[0] as Buffer, random]));
    await fc.assert(
      fc.asyncProperty(fc.oneof(mutated, garbage), async (stream) => {
        const client = await VfioClient.connect(rig.iommu);
        client.socket.end(stream);
        // Unread answers would keep the socket open.
        client.socket.resume();
        await client.closed;
      }),
      { numRuns: runs(150, 5000), seed },
    );
    const client = await rig.client(rig.iommu);
    expect((await client.call(CMD.GET_INFO, pack(16, 0, 0, 0))).errno).toBe(0);
  });
});
