/** The DMA engine: a PCI function whose every access goes through the unit. Registers: `layout/dma-engine.ts`. */
import {
  DMA,
  DMA_BEHAVIOUR,
  DMA_BUFFER,
  DMA_BUFFER_BYTES,
  DMA_COMMAND,
  DMA_ID,
  DMA_RESULT,
  DMA_STATUS,
  DMA_TRANSLATION,
} from "../../assembly/layout/dma-engine.ts";
import { IRQ, REGION } from "../../assembly/layout/vfio-user.ts";
import type { PageGroupResponse, TranslationCompletion } from "../endpoint.ts";
import { getBits, maskOf, putBits } from "../structure.ts";
import { DeviceTlb } from "./device-tlb.ts";
import { DmaConfig } from "./dma-config.ts";
import { Transfer, type TransferEnd, type TransferPort } from "./dma-transfer.ts";
import type { BusMaster, PciFunction } from "./function.ts";
import { type RegisterBlock, readRegisters, writeRegisters } from "./registers-bar.ts";
import type { Requester } from "./unit.ts";

/** Registers and buffer. */
export const DMA_BAR_BYTES: number = DMA_BUFFER + DMA_BUFFER_BYTES;
const REGISTER_BYTES = 0x60;
const RESPONSE_FAILURE = 15;
const MAX_GROUP = 0x1ff;
const MAX_PASID = 0xfffffn;
const U32 = 0xffff_ffffn;

/** What the driver sets, and which of it takes a write. */
const WRITABLE: Readonly<Record<number, bigint>> = {
  [DMA.COMMAND]: U32,
  [DMA.ADDRESS]: U32,
  [DMA.ADDRESS + 4]: U32,
  [DMA.LENGTH]: U32,
  [DMA.BUFFER_OFFSET]: U32,
  [DMA.PASID]: MAX_PASID,
};

export interface DmaEngineOptions {
  name: string;
  requester: Requester;
  /** Writes an interrupt message, as a request of this device. */
  sendMessage(bus: BusMaster, address: bigint, data: number): void;
}

export class DmaEngine implements PciFunction, RegisterBlock {
  readonly name: string;
  readonly config: DmaConfig = new DmaConfig(DMA_BAR_BYTES);
  readonly #options: DmaEngineOptions;
  readonly #buffer = new Uint8Array(DMA_BUFFER_BYTES);
  readonly #registers = new DataView(new ArrayBuffer(REGISTER_BYTES));
  readonly #tlb = new DeviceTlb();
  #bus: BusMaster | undefined;
  #transfer: Transfer | undefined;
  /** Page request group of the transfer under way, and of the next one. */
  #group = 0;

  constructor(options: DmaEngineOptions) {
    this.name = options.name;
    this.#options = options;
    const { log } = options.requester;
    log.onInvalidate = (invalidation) => {
      this.#count(DMA.INVALIDATIONS);
      if (this.#has(DMA.BEHAVIOUR, DMA_BEHAVIOUR.IGNORE_INVALIDATIONS)) return false;
      this.#tlb.invalidate(invalidation);
      return true;
    };
    log.onResponse = (response) => this.#respond(response);
    this.#start();
  }

  regionBytes(index: number): number {
    if (index === REGION.BAR0) return DMA_BAR_BYTES;
    return index === REGION.CONFIG ? this.config.space.bytes : 0;
  }

  readRegion(index: number, offset: number, into: Uint8Array): void {
    if (index === REGION.CONFIG) this.config.space.read(offset, into);
    else {
      const registers = registerPart(offset, into.length);
      readRegisters(this, offset, into.subarray(0, registers));
      const at = Math.max(0, offset - DMA_BUFFER);
      into.set(this.#buffer.subarray(at, at + into.length - registers), registers);
    }
  }

  writeRegion(index: number, offset: number, data: Uint8Array): void {
    if (index === REGION.CONFIG) this.#configure(offset, data);
    else {
      const registers = registerPart(offset, data.length);
      writeRegisters(this, offset, data.subarray(0, registers));
      const rest = data.subarray(registers);
      if (rest.length > 0) this.#buffer.set(rest, offset + registers - DMA_BUFFER);
    }
  }

  irqCount(index: number): number {
    return index === IRQ.MSI ? 1 : 0;
  }

  trigger(): void {
    const message = this.config.interrupt();
    if (message && this.#bus) this.#options.sendMessage(this.#bus, message.address, message.data);
  }

  reset(): void {
    this.config.space.reset();
    this.#transfer?.abandon();
    this.#transfer = undefined;
    this.#tlb.clear();
    this.#buffer.fill(0);
    this.#start();
  }

  attach(_memory: unknown, bus: BusMaster): void {
    this.#bus = bus;
  }

  detach(): void {
    this.#bus = undefined;
  }

  /** A register as the driver reads it. */
  read(offset: number, bytes: 4 | 8): bigint {
    if (offset + bytes > REGISTER_BYTES) return 0n;
    this.#registers.setUint32(DMA.CACHED, this.#tlb.size, true);
    return bytes === 8 ? this.#registers.getBigUint64(offset, true) : BigInt(this.#registers.getUint32(offset, true));
  }

  write(offset: number, bytes: 4 | 8, value: bigint): void {
    this.#writeWord(offset, value & U32);
    if (bytes === 8) this.#writeWord(offset + 4, value >> 32n);
  }

  #writeWord(offset: number, value: bigint): void {
    if (offset === DMA.STATUS) {
      const { DONE, FAILED } = DMA_STATUS;
      this.#set(DMA.STATUS, this.#get(DMA.STATUS) & ~(value & (maskOf(DONE) | maskOf(FAILED))));
    } else if (offset === DMA.BEHAVIOUR) {
      this.#set(DMA.BEHAVIOUR, value & maskOf(DMA_BEHAVIOUR.IGNORE_INVALIDATIONS));
    } else if (!this.#has(DMA.STATUS, DMA_STATUS.BUSY)) {
      this.#set(offset, value & (WRITABLE[offset] ?? 0n), WRITABLE[offset] !== undefined);
      if (offset === DMA.COMMAND && getBits(value, DMA_COMMAND.START)) this.#run(value);
    }
  }

  #configure(offset: number, data: Uint8Array): void {
    if (this.config.write(offset, data)) this.reset();
    // ATS off: what was translated counts no more.
    if (!this.config.hasAts) this.#tlb.clear();
    if (this.config.isPending) this.trigger();
  }

  #run(command: bigint): void {
    this.#set(DMA.COMMAND, putBits(command, DMA_COMMAND.START, 0));
    this.#set(DMA.STATUS, putBits(0n, DMA_STATUS.BUSY, 1));
    for (const offset of [DMA.RESULT, DMA.MOVED, DMA.CODE]) this.#set(offset, 0n);
    const transfer = this.#prepare();
    this.#transfer = transfer;
    if (transfer) transfer.start();
    else this.#done({ result: DMA_RESULT.REFUSED, moved: 0, code: 0 });
    if (this.#transfer) this.#set(DMA.STATUS, putBits(this.#get(DMA.STATUS), DMA_STATUS.WAITING, 1));
  }

  /** The transfer that the registers describe, if configuration space allows it. */
  #prepare(): Transfer | undefined {
    const has = (field: number) => this.#has(DMA.COMMAND, field);
    const { config } = this;
    const ats = has(DMA_COMMAND.ATS);
    const pri = has(DMA_COMMAND.PRI);
    const withPasid = has(DMA_COMMAND.PASID_VALID);
    const privileged = has(DMA_COMMAND.PRIVILEGED);
    const translateOnly = has(DMA_COMMAND.TRANSLATE);
    const offset = Number(this.#get(DMA.BUFFER_OFFSET));
    const length = Number(this.#get(DMA.LENGTH));
    const isAllowed =
      config.isBusMaster &&
      (!ats || config.hasAts) &&
      (!pri || (ats && config.hasPri)) &&
      (!translateOnly || ats) &&
      (!withPasid || config.hasPasid) &&
      (!privileged || (withPasid && config.mayBePrivileged));
    if (!isAllowed || offset + length > DMA_BUFFER_BYTES) return undefined;
    const options = {
      address: this.#registers.getBigUint64(DMA.ADDRESS, true),
      data: this.#buffer.subarray(offset, offset + length),
      write: has(DMA_COMMAND.WRITE),
      pasid: withPasid ? Number(this.#get(DMA.PASID)) : undefined,
      privileged,
      ats,
      pri,
      translateOnly,
    };
    return new Transfer(options, this.#port());
  }

  #port(): TransferPort {
    return {
      requester: this.#options.requester,
      tlb: this.#tlb,
      requestPage: (address) => this.#requestPage(address),
      translated: (completion) => this.#noteTranslation(completion),
      done: (end) => this.#done(end),
    };
  }

  #requestPage(address: bigint): void {
    this.#group = this.#group === MAX_GROUP ? 0 : this.#group + 1;
    this.#count(DMA.PAGE_REQUESTS);
    const write = this.#has(DMA.COMMAND, DMA_COMMAND.WRITE);
    const request = { address, read: !write, write, last: true, group: this.#group };
    const withPasid = this.#has(DMA.COMMAND, DMA_COMMAND.PASID_VALID);
    const identity = withPasid
      ? { pasid: Number(this.#get(DMA.PASID)), privileged: this.#has(DMA.COMMAND, DMA_COMMAND.PRIVILEGED) }
      : {};
    const transfer = this.#transfer;
    if (!this.#options.requester.requestPage({ ...request, ...identity })) transfer?.dropped();
  }

  #respond(response: PageGroupResponse): void {
    this.#count(DMA.RESPONSES);
    this.#set(DMA.RESPONSE_CODE, BigInt(response.code));
    const isExpected = this.#transfer !== undefined && response.group === this.#group;
    if (!isExpected) this.config.noteResponse("unexpected");
    else if (response.code === RESPONSE_FAILURE) this.config.noteResponse("failure");
    if (isExpected) this.#transfer?.respond(response);
  }

  #noteTranslation(completion: TranslationCompletion): void {
    this.#registers.setBigUint64(DMA.TRANSLATION, completion.address, true);
    const { READ, WRITE, EXECUTE, PRIVILEGED, GLOBAL, UNTRANSLATED_ONLY, NON_SNOOPED, SIZED } = DMA_TRANSLATION;
    const flags: [number, boolean][] = [
      [READ, completion.read],
      [WRITE, completion.write],
      [EXECUTE, completion.execute],
      [PRIVILEGED, completion.privileged],
      [GLOBAL, completion.global],
      [UNTRANSLATED_ONLY, completion.untranslatedOnly],
      [NON_SNOOPED, completion.nonSnooped],
      [SIZED, completion.sized],
    ];
    this.#set(
      DMA.TRANSLATION_FLAGS,
      flags.reduce((word, [field, isSet]) => putBits(word, field, isSet), 0n),
    );
  }

  #done({ result, moved, code }: TransferEnd): void {
    this.#transfer = undefined;
    const failed = result !== DMA_RESULT.OK;
    this.#set(DMA.RESULT, BigInt(result));
    this.#set(DMA.MOVED, BigInt(moved));
    this.#set(DMA.CODE, BigInt(code));
    const at = this.#registers.getBigUint64(DMA.ADDRESS, true) + BigInt(moved);
    this.#registers.setBigUint64(DMA.FAULT_ADDRESS, failed ? at : 0n, true);
    this.#set(DMA.STATUS, putBits(putBits(0n, DMA_STATUS.DONE, 1), DMA_STATUS.FAILED, failed));
    if (this.#has(DMA.COMMAND, DMA_COMMAND.INTERRUPT)) this.trigger();
  }

  #start(): void {
    for (let at = 0; at < REGISTER_BYTES; at += 4) this.#set(at, 0n);
    this.#set(DMA.ID, BigInt(DMA_ID));
    this.#set(DMA.BUFFER_BYTES, BigInt(DMA_BUFFER_BYTES));
    this.#group = 0;
  }

  #get(offset: number): bigint {
    return BigInt(this.#registers.getUint32(offset, true));
  }

  #set(offset: number, value: bigint, isWritable = true): void {
    if (isWritable) this.#registers.setUint32(offset, Number(value), true);
  }

  #has(offset: number, field: number): boolean {
    return getBits(this.#get(offset), field) === 1n;
  }

  #count(offset: number): void {
    this.#set(offset, (this.#get(offset) + 1n) & U32);
  }
}

/** How many bytes of an access lie before the buffer. */
function registerPart(offset: number, bytes: number): number {
  return Math.min(bytes, Math.max(0, DMA_BUFFER - offset));
}
