/** Finds the test devices' places: bus numbers, BARs and windows are ours to give, as no firmware runs. */

/** Writes a dword of configuration space. */
export type ConfigWrite = (sid: number, offset: number, value: number) => string[];

const COMMAND = 0x04;
const BAR0 = 0x10;
const BUSES = 0x18;
const MEMORY_WINDOW = 0x20;
const MEMORY_AND_MASTER = 6;
const WINDOW = 0x10_0000;
const BAR_BYTES = 0x1000;

export interface TestDevice {
  sid: number;
  bar: bigint;
}

/** Functions on the root bus, and behind root ports. */
export interface Topology {
  /** Device and function numbers on bus 0. */
  root: readonly number[];
  /** Bus number and functions behind each root port. */
  ports: readonly { bus: number; functions: readonly number[] }[];
}

/** Where the first port sits on bus 0; each of the others takes the next slot. */
const FIRST_PORT_SLOT = 4;

const place = (devfn: number): string => `${(devfn >> 3).toString(16)}.${devfn & 7}`;

export function deviceOptions({ root, ports }: Topology, rootBus: string): string[] {
  const device = (bus: string, devfn: number, multi: boolean) =>
    `iommu-testdev,bus=${bus},addr=${place(devfn)}${multi ? ",multifunction=on" : ""}`;
  const shared = (devfn: number, all: readonly number[]) =>
    all.some((other) => other !== devfn && other >> 3 === devfn >> 3);
  const options = root.map((devfn) => device(rootBus, devfn, shared(devfn, root)));
  ports.forEach(({ functions }, i) => {
    options.push(
      `pcie-root-port,id=port${i},bus=${rootBus},addr=${(FIRST_PORT_SLOT + i).toString(16)},chassis=${i + 1}`,
    );
    options.push(...functions.map((devfn) => device(`port${i}`, devfn, shared(devfn, functions))));
  });
  return options.flatMap((option) => ["-device", option]);
}

/** Numbers buses, places BARs from `base` on, turns decode and bus mastering on. */
export function enumerate(
  { root, ports }: Topology,
  base: number,
  config: ConfigWrite,
): { devices: TestDevice[]; commands: string[] } {
  const commands: string[] = [];
  const devices: TestDevice[] = [];
  const enable = (sid: number, bar: number) => {
    commands.push(...config(sid, BAR0, bar), ...config(sid, COMMAND, MEMORY_AND_MASTER));
    devices.push({ sid, bar: BigInt(bar) });
  };
  for (const [i, devfn] of root.entries()) enable(devfn, base + i * BAR_BYTES);
  ports.forEach(({ bus, functions }, i) => {
    const port = (FIRST_PORT_SLOT + i) << 3;
    const window = base + (i + 1) * WINDOW;
    const limits = (window >> 16) | window;
    commands.push(...config(port, BUSES, bus * 0x1_0100), ...config(port, MEMORY_WINDOW, limits >>> 0));
    commands.push(...config(port, COMMAND, MEMORY_AND_MASTER));
    for (const [k, devfn] of functions.entries()) enable((bus << 8) | devfn, window + k * BAR_BYTES);
  });
  return { devices, commands };
}
