/** What the IOASID tests share: a space with its log, custom allocators that can be watched. */
import { type AllocatorOps, Ioasid, type IoasidOptions, type LogEntry } from "../../src/ioasid/index.ts";

export interface Logged {
  ids: Ioasid;
  log: LogEntry[];
  /** Messages of one level. */
  said(level: LogEntry["level"]): string[];
}

export function loggedSpace(options: IoasidOptions = {}): Logged {
  const log: LogEntry[] = [];
  const ids = new Ioasid({ ...options, log: (entry) => log.push(entry) });
  return { ids, log, said: (level) => log.filter((entry) => entry.level === level).map(({ message }) => message) };
}

/** A backend that hands out a fixed list of answers, and remembers what it was asked and given back. */
export class ScriptedAllocator implements AllocatorOps<string> {
  readonly pdata: string;
  readonly asked: { min: number; max: number; pdata: string }[] = [];
  readonly freed: { id: number; pdata: string }[] = [];
  readonly alloc: AllocatorOps<string>["alloc"];
  readonly free: AllocatorOps<string>["free"];

  constructor(pdata: string, answers: (number | undefined)[], onFree: (id: number) => void = () => {}) {
    this.pdata = pdata;
    this.alloc = (min, max, given) => {
      this.asked.push({ min, max, pdata: given });
      return answers.shift();
    };
    this.free = (id, given) => {
      this.freed.push({ id, pdata: given });
      onFree(id);
    };
  }

  /** Another allocator of the same functions, with data of its own. */
  sibling(pdata: string): AllocatorOps<string> {
    return { alloc: this.alloc, free: this.free, pdata };
  }
}
