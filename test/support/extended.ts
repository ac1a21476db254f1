/** What the tests of the extended space share. */
import { expect } from "vitest";
import type {
  ExtendedIoasid,
  IoasidEvent,
  Notifier,
  NotifierPriority,
  QuotaSet,
  QuotaSetOptions,
} from "../../src/ioasid/index.ts";

export const failed = (error: string): unknown => ({ ok: false, error });

/** A set that could be made. */
export function newSet(space: ExtendedIoasid, options: Partial<QuotaSetOptions> = {}): QuotaSet<string> {
  const made = space.allocSet<string>({ type: "null", quota: 10, ...options });
  return made.ok ? made.value : expect.fail(`allocSet: ${made.error}`);
}

/** Records commands as "bind 3 spid 101", after `name`. */
export function listener(heard: string[], priority: NotifierPriority = "last", name = "") {
  return {
    priority,
    notify: ({ command, id, spid }: IoasidEvent) =>
      void heard.push(`${name}${command} ${id}${spid === undefined ? "" : ` spid ${spid}`}`),
  } satisfies Notifier;
}
