/** A VMM in a few lines: a register file with CAP, ECAP and the virtual command interface, and its guest. */
import { CAP, ECAP } from "../../assembly/layout/vtd-capabilities.ts";
import { REG } from "../../assembly/layout/vtd-registers.ts";
import {
  type GuestIommuOptions,
  GuestPasids,
  type GuestPasidsOptions,
  Ioasid,
  registerVcmdAllocator,
  type VcmdRegistration,
} from "../../src/ioasid/index.ts";
import { RegisterFile } from "../../src/registers.ts";
import { maskOf, putBits } from "../../src/structure.ts";
import { Vcmd, type VcmdEra, type VcmdOptions } from "../../src/vtd/index.ts";

export interface VmmOptions {
  host?: Ioasid;
  pasids?: GuestPasidsOptions;
  /** Layout of the device, and of the guest's driver. */
  era?: VcmdEra;
  schedule?: VcmdOptions["schedule"];
  /** CAP.CM, ECAP.SMTS and ECAP.VCS; all set unless told. */
  cachingMode?: boolean;
  scalable?: boolean;
  virtualCommands?: boolean;
  /** ECAP.PSS: PASID bits - 1; 19 unless told. */
  pss?: number;
}

/** One access of the guest. */
export interface BusAccess {
  kind: "read" | "write";
  offset: number;
  bytes: number;
  value: bigint;
}

export class Vmm {
  readonly host: Ioasid;
  readonly pasids: GuestPasids;
  readonly vcmd: Vcmd;
  readonly file: RegisterFile;
  /** What the guest did, in order. */
  readonly trace: BusAccess[] = [];

  constructor(options: VmmOptions = {}) {
    const { cachingMode = true, scalable = true, virtualCommands = true, pss = 19 } = options;
    this.host = options.host ?? new Ioasid();
    this.pasids = new GuestPasids(this.host, options.pasids);
    this.vcmd = new Vcmd({
      host: this.pasids,
      era: options.era ?? "C",
      ...(options.schedule ? { schedule: options.schedule } : {}),
    });
    const ecap = putBits(
      (scalable ? maskOf(ECAP.SMTS) : 0n) | (virtualCommands ? maskOf(ECAP.VCS) : 0n),
      ECAP.PSS,
      pss,
    );
    this.file = new RegisterFile<string>(
      [
        { name: "CAP", offset: REG.CAP, bits: 64, reset: cachingMode ? maskOf(CAP.CM) : 0n },
        { name: "ECAP", offset: REG.ECAP, bits: 64, reset: ecap },
        ...this.vcmd.registers,
      ],
      { bytes: 4096 },
    );
    this.vcmd.mount(this.file);
  }

  read(offset: number, bytes: number): bigint {
    const value = this.file.read(offset, bytes);
    this.trace.push({ kind: "read", offset, bytes, value });
    return value;
  }

  write(offset: number, bytes: number, value: bigint): void {
    this.trace.push({ kind: "write", offset, bytes, value });
    this.file.write(offset, bytes, value);
  }

  /** Boots a guest on these registers. */
  boot(guest: Partial<GuestIommuOptions> & { ids: Ioasid }): VcmdRegistration {
    return registerVcmdAllocator({ registers: this, ...guest });
  }
}
