/** What lines of a kernel's log say, before it is put together. */
import type { Access } from "../iommu.ts";

/** One thing that one line (or two, where a mail broke it) says. Addresses as bigints. */
export type LogItem =
  | { kind: "dma-fault"; sid: number; pasid: number | null; iova: bigint; access: Access; code: number }
  | { kind: "interrupt-fault"; sid: number; index: number; code: number }
  | { kind: "fault-status"; value: bigint }
  | { kind: "queue-error"; reason: number }
  | { kind: "queue-timeout" | "queue-completion"; sid: number }
  | { kind: "queue-entry"; which: "HEAD" | "PRIOR"; words: bigint[] }
  | { kind: "dump"; unit: string; iova: bigint }
  | { kind: "dump-entry"; entry: DumpEntry; words: bigint[] }
  | { kind: "dump-pasid-word"; index: number; word: bigint }
  | { kind: "dump-pte"; level: number; word: bigint | null }
  | { kind: "dump-end" }
  | { kind: "registers"; unit: string; ver: bigint; cap: bigint; ecap: bigint }
  | { kind: "haw"; bits: number }
  | { kind: "inconsistent"; feature: string }
  | { kind: "page-request-refused"; unit: string; why: string; words: bigint[] }
  | { kind: "page-requests-lost"; unit: string }
  | { kind: "event"; number: number; words: bigint[] }
  | { kind: "event-text"; event: EventText }
  | { kind: "event-access"; access: EventAccess }
  | { kind: "global-error"; value: bigint }
  | { kind: "command-error"; cons: bigint }
  | { kind: "command"; words: bigint[] }
  | { kind: "queue-overflow"; queue: "EVTQ" | "PRIQ" }
  | { kind: "sync-timeout"; prod: bigint; cons: bigint }
  | { kind: "smmu-page-request"; request: SmmuPageRequest }
  /** Recognised, and nothing to tell about. */
  | { kind: "context" };

export type DumpEntry = "root" | "scalable-root" | "context" | "directory";

/** A decoded event as newer kernels print it. */
export interface EventText {
  name: string;
  client: string;
  sid: number;
  ssid: number;
  iova: bigint | null;
  ipa: bigint | null;
  fetchAddress: bigint | null;
}

/** The line after it. */
export interface EventAccess {
  privileged: boolean;
  instruction: boolean;
  read: boolean;
  stage2: boolean;
  /** What was being accessed, in the kernel's words. */
  what: string;
  stall: boolean;
  stag: number;
}

export interface SmmuPageRequest {
  sid: number;
  ssid: number;
  group: number;
  last: boolean;
  privileged: boolean;
  rights: string;
  iova: bigint;
}
