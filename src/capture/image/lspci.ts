/** What `lspci -vv` says about a device's use of an IOMMU: ATS, PASID and page requests. */
import { parseBdf } from "../capture.ts";
import type { ImageDevice } from "./image.ts";

const DEVICE = /^((?:[0-9a-f]{4,8}:)?[0-9a-f]{2}:[01][0-9a-f]\.[0-7]) (.*)$/i;
const CAPABILITY =
  /Capabilities: \[[0-9a-f]+(?: v\d)?\] (?:.*\((ATS|PASID|PRI)\)|(Address Translation Service|Process Address Space ID|Page Request Interface))/;
const CONTROL = /^\s*(ATS|PASID|PRI)Ctl:\s*Enable([+-])/;
const MAX_TEXT = 120;

const SHORT: Readonly<Record<string, string>> = {
  "Address Translation Service": "ATS",
  "Process Address Space ID": "PASID",
  "Page Request Interface": "PRI",
};

/** Devices in the order of the text; none for a text that is no such list. */
export function readLspci(text: string): ImageDevice[] {
  const found: { address: string; name: string; features: Map<string, string> }[] = [];
  for (const raw of text.split("\n")) {
    const line = raw.slice(0, 4 * MAX_TEXT).trimEnd();
    const device = DEVICE.exec(line);
    if (device) {
      const name = (device[2] as string).replace(/\p{Cc}/gu, " ").slice(0, MAX_TEXT);
      // Rows of debugfs tables begin with an address as well.
      if (!name.trim().startsWith("0x")) found.push({ address: device[1] as string, name, features: new Map() });
      continue;
    }
    const features = found.at(-1)?.features;
    const capability = CAPABILITY.exec(line);
    const name = capability?.[1] ?? SHORT[capability?.[2] ?? ""];
    if (name !== undefined) features?.set(name, "");
    const control = CONTROL.exec(line);
    if (control) features?.set(control[1] as string, control[2] === "+" ? " on" : " off");
  }
  return found.map(({ address, name, features }) => ({
    address,
    sid: parseBdf(address),
    text: [name, ...[...features].map(([feature, state]) => `${feature}${state}`)].join(", "),
  }));
}
