/** Devices and a driver that remembers what each PASID translates through, for the attach tests. */
import type { PasidDevice, PasidDomain, PasidDriver, Status } from "../../src/ioasid/index.ts";

export class RecordingDriver implements PasidDriver {
  readonly name: string;
  readonly perPasid: boolean;
  /** "device pasid" to what the hardware translates it with; absent = blocked. */
  readonly hardware = new Map<string, PasidDomain>();
  /** In the order they happened. */
  readonly calls: string[] = [];
  /** Devices whose switching fails. */
  readonly broken = new Set<string>();

  constructor(name = "driver", perPasid = true) {
    this.name = name;
    this.perPasid = perPasid;
  }

  set(device: PasidDevice, pasid: number, domain: PasidDomain, _old: PasidDomain | null): Status {
    this.calls.push(`set ${device.name} ${pasid}`);
    if (this.broken.has(device.name)) return { ok: false, error: "ENOMEM" };
    this.hardware.set(`${device.name} ${pasid}`, domain);
    return { ok: true };
  }

  block(device: PasidDevice, pasid: number): void {
    this.calls.push(`block ${device.name} ${pasid}`);
    this.hardware.delete(`${device.name} ${pasid}`);
  }

  device(name: string, maxPasids: number): PasidDevice {
    return { name, driver: this, maxPasids };
  }

  domain(type: PasidDomain["type"] = "dma"): PasidDomain {
    return { type, driver: this };
  }
}
