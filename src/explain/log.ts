/** Reads a log line by line: what was recognised, and how many lines were not. */
import type { LogItem } from "./log-items.ts";
import { SMMU_PATTERNS, type WordsAhead, wordsAhead, wordsIn } from "./smmu-lines.ts";
import { cleanLine, type Piece } from "./text.ts";
import { VTD_PATTERNS } from "./vtd-lines.ts";

export interface FoundItem {
  item: LogItem;
  /** Where it starts. */
  line: number;
}

const PATTERNS = [...VTD_PATTERNS, ...SMMU_PATTERNS];

/** A mail breaks a message over so many lines at most. */
const MAX_JOINED = 4;
/** Other messages may come between an event and its words, but not more. */
const MAX_BETWEEN = 12;

/** Takes lines, hands out what they say. */
export class LogReader {
  readonly items: FoundItem[] = [];
  /** Lines with text that say nothing we know. */
  unrecognised = 0;
  #line = 0;
  /** Pieces that wait for those after them. */
  #window: Piece[] = [];
  #ahead: { words: WordsAhead; line: number; between: number } | undefined;
  #known = new Set<number>();
  #seen = new Set<number>();

  push(raw: string): void {
    this.#line++;
    this.#window.push(...cleanLine(raw, this.#line));
    while (this.#window.length >= MAX_JOINED) this.#take();
  }

  end(): void {
    while (this.#window.length > 0) this.#take();
    this.#count(Number.POSITIVE_INFINITY);
  }

  /** Takes one message off the window. */
  #take(): void {
    const [first, ...rest] = this.#window as [Piece, ...Piece[]];
    const used = this.#read(first, rest);
    for (const [i, { line }] of this.#window.slice(0, Math.max(1, used)).entries()) {
      this.#seen.add(line);
      if (i < used) this.#known.add(line);
    }
    this.#window.splice(0, Math.max(1, used));
    this.#count(this.#window[0]?.line ?? this.#line);
  }

  /** @returns how many pieces the message took, 0 for none */
  #read(first: Piece, rest: readonly Piece[]): number {
    if (this.#fill(first.text)) return 1;
    const ahead = wordsAhead(first.text);
    if (ahead) {
      this.#ahead = { words: ahead, line: first.line, between: 0 };
      this.#finish();
      return 1;
    }
    for (const { head, full, item } of PATTERNS) {
      if (!head.test(first.text)) continue;
      let text = first.text;
      for (let used = 1; used <= MAX_JOINED; used++) {
        const match = full.exec(text);
        const found = match && item(match.groups ?? {});
        if (found) {
          this.items.push({ item: found, line: first.line });
          return used;
        }
        const next = rest[used - 1];
        // What starts a message of its own does not continue this one.
        if (!next || next.line === first.line || startsMessage(next.text)) break;
        text += ` ${next.text}`;
      }
    }
    return 0;
  }

  /** Whether this line is words that an earlier one announced. */
  #fill(text: string): boolean {
    if (!this.#ahead) return false;
    const words = wordsIn(text);
    if (words.length === 0) {
      if (++this.#ahead.between > MAX_BETWEEN || wordsAhead(text)) this.#ahead = undefined;
      return false;
    }
    this.#ahead.words.words.push(...words);
    this.#finish();
    return true;
  }

  #finish(): void {
    if (!this.#ahead) return;
    const { words, line } = this.#ahead;
    if (words.words.length < words.count) return;
    this.items.push({ item: words.item(words.words.slice(0, words.count)), line });
    this.#ahead = undefined;
  }

  /** Counts the lines before `line`, which no piece of the window belongs to. */
  #count(line: number): void {
    for (const seen of this.#seen) {
      if (seen >= line) break;
      if (!this.#known.delete(seen)) this.unrecognised++;
      this.#seen.delete(seen);
    }
  }
}

function startsMessage(text: string): boolean {
  return PATTERNS.some(({ head }) => head.test(text)) || wordsAhead(text) !== undefined;
}
