/** Log text as people paste it, down to the lines that a kernel printed. */

/** Longest line that is looked at; a kernel's lines have at most 1024 characters. */
const MAX_LINE = 4096;

/** A part of a line that starts with a subsystem's prefix, or the whole line. */
export interface Piece {
  text: string;
  /** Number of its line, from 1. */
  line: number;
}

const COLOUR = /(?:\p{Cc}|\^\[)\[[\d;?]*[A-Za-z]/gu;
const CONTROL = /\p{Cc}/gu;
const QUOTE = /^(?:\s{0,8}[>|]){1,16}\s?/;
const PREFIX = /(?=DMAR(?:-IR)?: ?[[A-Zd]|arm-smmu-v3 )/;

/** Pieces of a line without colours, control characters, quotation marks; none for a line without text. */
export function cleanLine(raw: string, line: number): Piece[] {
  const text = raw
    .slice(0, MAX_LINE)
    .replaceAll("\t", " ")
    .replace(COLOUR, "")
    .replace(CONTROL, "")
    .replace(QUOTE, "")
    .trim();
  // Where a paste lost its line breaks, every message still starts with its prefix.
  return text
    .split(PREFIX)
    .filter((piece) => piece.trim() !== "")
    .map((piece) => ({ text: piece, line }));
}
