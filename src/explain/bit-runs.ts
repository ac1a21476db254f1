/** Runs of bits that are set, told as the manuals do: "11:1". */

export interface BitRun {
  msb: number;
  lsb: number;
}

const WORD_BITS = 64;

/** Runs of ones in `words`, lowest first; a run does not cross words. */
export function bitRuns(words: readonly bigint[]): BitRun[] {
  return words.flatMap((word, i) => {
    const digits = [...word.toString(2)].reverse().join("");
    return [...digits.matchAll(/1+/g)].map(({ 0: run, index }) => {
      const lsb = i * WORD_BITS + index;
      return { msb: lsb + run.length - 1, lsb };
    });
  });
}

/** "11:1", or "5" for a single bit. */
export function showBits({ msb, lsb }: BitRun): string {
  return msb === lsb ? `${lsb}` : `${msb}:${lsb}`;
}
