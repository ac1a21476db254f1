/** Values on the command line: devices, PASIDs, addresses. */
import { parseBdf } from "../capture/capture.ts";
import type { MachineImage } from "../capture/image/image.ts";
import { maxSid } from "../capture/state.ts";
import type { Access } from "../iommu.ts";
import { UsageError } from "./verb.ts";

const MAX_SID = 0xffff_ffff;
const MAX_PASID = 0xfffff;
const MAX_ADDRESS = 0xffff_ffff_ffff_ffffn;

export const SID_FORMS = "bb:dd.f, ssss:bb:dd.f, 0x20 or 32";

/** A device as it was typed: a PCI address, or the number itself. */
export interface DeviceArgument {
  bdf: number | undefined;
  number: number;
}

export function parseSid(text: string): DeviceArgument {
  const bdf = parseBdf(text);
  const number = bdf ?? parseNumber(text);
  if (number === undefined || number > MAX_SID) {
    throw new UsageError(`--sid: "${text}" is not a device (${SID_FORMS})`);
  }
  return { bdf, number: Number(number) };
}

/** The source-id or StreamID by which this image's IOMMU knows a device. @throws UsageError */
export function resolveSid({ bdf, number }: DeviceArgument, image: MachineImage): number {
  const max = maxSid(image);
  if (number > max) throw new UsageError(`--sid: 0x${number.toString(16)} is above 0x${max.toString(16)}`);
  // Firmware may give a PCI function another StreamID than its address.
  const device = bdf === undefined ? undefined : image.devices.find(({ address }) => parseBdf(address) === bdf);
  return device?.sid ?? number;
}

export function parsePasid(text: string): number {
  const pasid = parseNumber(text);
  if (pasid === undefined || pasid > MAX_PASID) {
    throw new UsageError(`--pasid: "${text}" is not a PASID (0..${MAX_PASID}, decimal or 0x..)`);
  }
  return Number(pasid);
}

export function parseAddress(text: string): bigint {
  const address = parseNumber(text);
  if (address === undefined || address > MAX_ADDRESS) {
    throw new UsageError(`--iova: "${text}" is not a 64-bit address such as 0x7f3a6ac12345`);
  }
  return address;
}

export function parseAccess(text: string): Access {
  if (text === "r" || text === "w" || text === "x") return text;
  throw new UsageError(`--access: "${text}" is not r, w or x`);
}

/** Decimal or 0x..; undefined for what is neither. */
export function parseNumber(text: string): bigint | undefined {
  return /^(0x[0-9a-f]+|\d+)$/i.test(text) ? BigInt(text) : undefined;
}

export { showSourceId as showSid } from "../explain/source-id.ts";
