/** A bridge on real sockets and a real file, in a folder of its own; everything is gone after the test. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { onTestFinished } from "vitest";
import { BridgeServer, type ServeOptions } from "../../src/bridge/node/serve.ts";
import { SMMU_PRESETS } from "../../src/smmuv3/presets.ts";
import { VTD_PRESETS } from "../../src/vtd/capabilities.ts";
import { VfioClient } from "./vfio-client.ts";

export const MIB = 1024 * 1024;
export const RAM_BYTES: number = 64 * MIB;

export const VTD: ServeOptions["unit"] = { vendor: "vtd", capabilities: VTD_PRESETS["server-5-level"] };
export const SMMU: ServeOptions["unit"] = { vendor: "smmuv3", features: SMMU_PRESETS.server };

/** A folder that goes away with the test. */
export function temporaryFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), "iom-"));
  onTestFinished(() => rmSync(folder, { recursive: true, force: true }));
  return folder;
}

export interface Rig {
  server: BridgeServer;
  folder: string;
  ram: string;
  /** Lines for people. */
  log: string[];
  /** Path of the IOMMU's socket, and of a device's. */
  iommu: string;
  dma: string;
  /** A client that has negotiated, and goes away with the test. */
  client(path: string): Promise<VfioClient>;
}

export async function bridgeRig(options: Partial<ServeOptions> = {}): Promise<Rig> {
  const folder = temporaryFolder();
  const ram = join(folder, "ram");
  const log: string[] = [];
  const server = await BridgeServer.open({
    unit: VTD,
    caches: "none",
    devices: 1,
    ram,
    memory: RAM_BYTES,
    folder,
    machine: {},
    log: (line) => log.push(line),
    ...options,
  });
  onTestFinished(() => server.close());
  return {
    server,
    folder,
    ram,
    log,
    iommu: join(folder, "iommu.sock"),
    dma: join(folder, "dma0.sock"),
    async client(path) {
      const client = await VfioClient.open(path);
      onTestFinished(() => client.close());
      return client;
    },
  };
}
