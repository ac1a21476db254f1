/** Lines that Linux prints about an SMMUv3, old and new. Raw words follow on lines of their own. */
import type { LogItem } from "./log-items.ts";
import type { Pattern } from "./vtd-lines.ts";

const NUMBER = "(?:0x)?[0-9a-f]{1,16}";

const hexOf = (digits: string | undefined): bigint => BigInt(`0x${digits?.replace(/^0x/i, "") || "0"}`);
const maybe = (digits: string | undefined): bigint | null => (digits === undefined ? null : hexOf(digits));

export const SMMU_PATTERNS: readonly Pattern[] = [
  {
    head: /event: /,
    full: new RegExp(
      `event: (?<name>[A-Z_]{3,24}) client: (?<client>.{1,80}?) sid: (?<sid>${NUMBER}) ssid: (?<ssid>${NUMBER})` +
        `(?: iova: (?<iova>${NUMBER}))?(?: ipa: (?<ipa>${NUMBER}))?(?: fetch_addr: (?<fetch>${NUMBER}))?`,
    ),
    item: ({ name, client, sid, ssid, iova, ipa, fetch }) => ({
      kind: "event-text",
      event: {
        name: name as string,
        client: client as string,
        sid: Number(hexOf(sid)),
        ssid: Number(hexOf(ssid)),
        iova: maybe(iova),
        ipa: maybe(ipa),
        fetchAddress: maybe(fetch),
      },
    }),
  },
  {
    head: /\b(?:un)?priv (?:data|inst) /,
    full: new RegExp(
      String.raw`\b(?<priv>unpriv|priv) (?<what>data|inst) (?<rw>read|write) (?<stage>s[12]) "(?<class>[^"]{0,64})"` +
        `(?: ttd_(?:read|write))?(?<stall> stall)? stag: (?<stag>${NUMBER})`,
    ),
    item: (groups) => ({
      kind: "event-access",
      access: {
        privileged: groups.priv === "priv",
        instruction: groups.what === "inst",
        read: groups.rw === "read",
        stage2: groups.stage === "s2",
        what: groups.class as string,
        stall: groups.stall !== undefined,
        stag: Number(hexOf(groups.stag)),
      },
    }),
  },
  {
    head: /unexpected global error/,
    full: /unexpected global error reported \(0x(?<value>[0-9a-f]{1,8})\)/,
    item: ({ value }) => ({ kind: "global-error", value: hexOf(value) }),
  },
  {
    head: /CMDQ error/,
    full: /CMDQ error \(cons 0x(?<cons>[0-9a-f]{1,8})\)/,
    item: ({ cons }) => ({ kind: "command-error", cons: hexOf(cons) }),
  },
  {
    head: /CMD_SYNC timeout/,
    full: /CMD_SYNC timeout at 0x[0-9a-f]{1,8} \[hwprod 0x(?<prod>[0-9a-f]{1,8}), hwcons 0x(?<cons>[0-9a-f]{1,8})\]/,
    item: ({ prod, cons }) => ({ kind: "sync-timeout", prod: hexOf(prod), cons: hexOf(cons) }),
  },
  {
    head: /(?:EVTQ|PRIQ) overflow/,
    full: /(?<queue>EVTQ|PRIQ) overflow detected/,
    item: ({ queue }) => ({ kind: "queue-overflow", queue: queue === "PRIQ" ? "PRIQ" : "EVTQ" }),
  },
  {
    head: /privileged [RWX]{0,3} ?access at iova/,
    full: /sid 0x(?<sid>[0-9a-f]{8})\.0x(?<ssid>[0-9a-f]{5}): \[(?<group>\d{1,4})(?<last>L?)\] (?<un>un)?privileged (?<rights>[RWX]{0,3}) ?access at iova 0x(?<iova>[0-9a-f]{1,16})/,
    item: ({ sid, ssid, group, last, un, rights, iova }) => ({
      kind: "smmu-page-request",
      request: {
        sid: Number(hexOf(sid)),
        ssid: Number(hexOf(ssid)),
        group: Number(group),
        last: last === "L",
        privileged: un === undefined,
        rights: rights as string,
        iova: hexOf(iova),
      },
    }),
  },
  {
    head: /unexpected PRI request received|(?:EVTQ|PRIQ) write aborted|MSI write aborted|Service Failure Mode|retrying command fetch|\bias \d+-bit, oas \d+-bit|failed to convert to CMD_SYNC/,
    full: /./,
    item: () => ({ kind: "context" }),
  },
];

/** A line that says that raw words follow. */
export interface WordsAhead {
  /** How many. */
  count: number;
  /** Words that stand on the same line. */
  words: bigint[];
  item(words: bigint[]): LogItem;
}

const EVENT = /event 0x(?<number>[0-9a-f]{1,2}) received:?(?<rest>.*)$/i;
const COMMAND = /skipping command in error state:?(?<rest>.*)$/i;
const WORD = /0x[0-9a-f]{16}\b/gi;
/** Nothing but a prefix and one or more words. */
const ONLY_WORDS = /^[^"=]{0,96}?(?:0x[0-9a-f]{16}[\s,]{0,4}){1,4}$/i;

export function wordsAhead(text: string): WordsAhead | undefined {
  const event = EVENT.exec(text)?.groups;
  if (event) {
    const number = Number(hexOf(event.number));
    return { count: 4, words: wordsOf(event.rest ?? ""), item: (words) => ({ kind: "event", number, words }) };
  }
  const command = COMMAND.exec(text)?.groups;
  if (command) return { count: 2, words: wordsOf(command.rest ?? ""), item: (words) => ({ kind: "command", words }) };
  return undefined;
}

/** Words of a line that holds nothing else. */
export function wordsIn(text: string): bigint[] {
  return ONLY_WORDS.test(text) ? wordsOf(text) : [];
}

function wordsOf(text: string): bigint[] {
  return [...text.matchAll(WORD)].map(([word]) => BigInt(word));
}
