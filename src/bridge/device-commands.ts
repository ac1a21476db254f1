/** vfio-user commands that describe a function, its interrupts and its memory. Payload in, payload or errno out. */
import {
  DEVICE_FLAGS,
  DEVICE_INFO,
  DEVICE_INFO_BYTES,
  DMA_MAP,
  DMA_MAP_BYTES,
  DMA_MAP_FLAGS,
  DMA_UNMAP,
  DMA_UNMAP_BYTES,
  DMA_UNMAP_FLAGS,
  ERRNO,
  IRQ,
  IRQ_INFO,
  IRQ_INFO_BYTES,
  IRQ_INFO_FLAGS,
  IRQ_SET,
  IRQ_SET_FLAGS,
  NUM_IRQS,
  NUM_REGIONS,
  REGION_FLAGS,
  REGION_INFO,
  REGION_INFO_BYTES,
} from "../../assembly/layout/vfio-user.ts";
import { getBits, maskOf } from "../structure.ts";
import { viewOf } from "./bytes.ts";
import type { DmaMap } from "./dma-map.ts";
import type { PciFunction } from "./function.ts";

const NOTHING = new Uint8Array(0);

/** Flags set, as the 32-bit word. */
function flags(...fields: number[]): number {
  return Number(fields.reduce((word, field) => word | maskOf(field), 0n));
}

/** `fields` 32-bit words at their offsets. */
function words(bytes: number, values: readonly (readonly [offset: number, value: number])[]): Uint8Array {
  const reply = new Uint8Array(bytes);
  for (const [offset, value] of values) viewOf(reply).setUint32(offset, value, true);
  return reply;
}

export function mapDma(memory: DmaMap, payload: Uint8Array): Uint8Array | ERRNO {
  if (payload.length < DMA_MAP_BYTES) return ERRNO.EINVAL;
  const view = viewOf(payload);
  const given = BigInt(view.getUint32(DMA_MAP.FLAGS, true));
  const problem = memory.map({
    address: view.getBigUint64(DMA_MAP.ADDRESS, true),
    size: view.getBigUint64(DMA_MAP.SIZE, true),
    offset: view.getBigUint64(DMA_MAP.OFFSET, true),
    readable: getBits(given, DMA_MAP_FLAGS.READABLE) === 1n,
    writeable: getBits(given, DMA_MAP_FLAGS.WRITEABLE) === 1n,
  });
  return problem ?? NOTHING;
}

/** The reply repeats the entry. Dirty page bitmaps went with an older version of the protocol. */
export function unmapDma(memory: DmaMap, payload: Uint8Array): Uint8Array | ERRNO {
  if (payload.length < DMA_UNMAP_BYTES) return ERRNO.EINVAL;
  const view = viewOf(payload);
  const given = BigInt(view.getUint32(DMA_UNMAP.FLAGS, true));
  const address = view.getBigUint64(DMA_UNMAP.ADDRESS, true);
  const size = view.getBigUint64(DMA_UNMAP.SIZE, true);
  if (getBits(given, DMA_UNMAP_FLAGS.GET_DIRTY_BITMAP)) return ERRNO.EOPNOTSUPP;
  if (getBits(given, DMA_UNMAP_FLAGS.ALL)) {
    if (address !== 0n || size !== 0n) return ERRNO.EINVAL;
    memory.clear();
  } else {
    const problem = memory.unmap(address, size);
    if (problem !== undefined) return problem;
  }
  return payload.slice(0, DMA_UNMAP_BYTES);
}

/** Whether a request is whole, and its `argsz` has room for the fixed part of the reply. */
function hasRoom(payload: Uint8Array, requestBytes: number, replyBytes: number): boolean {
  return payload.length >= requestBytes && viewOf(payload).getUint32(0, true) >= replyBytes;
}

export function deviceInfo(payload: Uint8Array): Uint8Array | ERRNO {
  if (!hasRoom(payload, DEVICE_INFO_BYTES, DEVICE_INFO_BYTES)) return ERRNO.EINVAL;
  return words(DEVICE_INFO_BYTES, [
    [DEVICE_INFO.ARGSZ, DEVICE_INFO_BYTES],
    [DEVICE_INFO.FLAGS, flags(DEVICE_FLAGS.RESET, DEVICE_FLAGS.PCI)],
    [DEVICE_INFO.NUM_REGIONS, NUM_REGIONS],
    [DEVICE_INFO.NUM_IRQS, NUM_IRQS],
  ]);
}

/** A region that the function does not have is answered with size 0. */
export function regionInfo(target: PciFunction, payload: Uint8Array): Uint8Array | ERRNO {
  if (!hasRoom(payload, REGION_INFO_BYTES, REGION_INFO_BYTES)) return ERRNO.EINVAL;
  const index = viewOf(payload).getUint32(REGION_INFO.INDEX, true);
  if (index >= NUM_REGIONS) return ERRNO.EINVAL;
  const size = target.regionBytes(index);
  const reply = words(REGION_INFO_BYTES, [
    [REGION_INFO.ARGSZ, REGION_INFO_BYTES],
    [REGION_INFO.FLAGS, size === 0 ? 0 : flags(REGION_FLAGS.READ, REGION_FLAGS.WRITE)],
    [REGION_INFO.INDEX, index],
  ]);
  viewOf(reply).setBigUint64(REGION_INFO.SIZE, BigInt(size), true);
  return reply;
}

export function irqInfo(target: PciFunction, payload: Uint8Array): Uint8Array | ERRNO {
  if (!hasRoom(payload, IRQ_INFO_BYTES, IRQ_INFO_BYTES)) return ERRNO.EINVAL;
  const index = viewOf(payload).getUint32(IRQ_INFO.INDEX, true);
  // As Linux answers for a function that reports no errors: a client warns if there are none of a type it may have.
  if (index >= NUM_IRQS || index === IRQ.ERR) return ERRNO.EINVAL;
  const count = target.irqCount(index);
  return words(IRQ_INFO_BYTES, [
    [IRQ_INFO.ARGSZ, IRQ_INFO_BYTES],
    [IRQ_INFO.FLAGS, count === 0 ? 0 : flags(IRQ_INFO_FLAGS.EVENTFD, IRQ_INFO_FLAGS.NORESIZE)],
    [IRQ_INFO.INDEX, index],
    [IRQ_INFO.COUNT, count],
  ]);
}

const DATA = [IRQ_SET_FLAGS.DATA_NONE, IRQ_SET_FLAGS.DATA_BOOL, IRQ_SET_FLAGS.DATA_EVENTFD];
const ACTIONS = [IRQ_SET_FLAGS.ACTION_MASK, IRQ_SET_FLAGS.ACTION_UNMASK, IRQ_SET_FLAGS.ACTION_TRIGGER];

/**
 * Interrupts are set up, or triggered by the client. Event descriptors are taken and never signalled: an
 * interrupt goes out as the write that the function's MSI capability names, which a guest sees just the same.
 */
export function setIrqs(target: PciFunction, payload: Uint8Array): Uint8Array | ERRNO {
  if (payload.length < IRQ_SET.DATA) return ERRNO.EINVAL;
  const view = viewOf(payload);
  const given = BigInt(view.getUint32(IRQ_SET.FLAGS, true));
  const start = view.getUint32(IRQ_SET.START, true);
  const count = view.getUint32(IRQ_SET.COUNT, true);
  const index = view.getUint32(IRQ_SET.INDEX, true);
  const data = DATA.filter((field) => getBits(given, field));
  const actions = ACTIONS.filter((field) => getBits(given, field));
  if (data.length !== 1 || actions.length !== 1 || given !== maskOf(data[0] as number) + maskOf(actions[0] as number)) {
    return ERRNO.EINVAL;
  }
  if (index >= NUM_IRQS) return ERRNO.EINVAL;
  const [how] = data;
  // The whole type is switched off.
  if (count === 0) return start === 0 && how === IRQ_SET_FLAGS.DATA_NONE ? NOTHING : ERRNO.EINVAL;
  if (start + count > target.irqCount(index)) return ERRNO.EINVAL;
  const chosen = payload.subarray(IRQ_SET.DATA);
  if (how === IRQ_SET_FLAGS.DATA_BOOL && chosen.length !== count) return ERRNO.EINVAL;
  if (how === IRQ_SET_FLAGS.DATA_EVENTFD) return NOTHING;
  // None of the types is announced as maskable.
  if (actions[0] !== IRQ_SET_FLAGS.ACTION_TRIGGER) return ERRNO.EINVAL;
  if (how === IRQ_SET_FLAGS.DATA_NONE || chosen.some((choice) => choice !== 0)) target.trigger();
  return NOTHING;
}
