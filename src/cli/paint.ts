/** Text in colour, or the same text without; and lines that fit a terminal of 80 columns. */

export const COLUMNS = 80;

const CODES = { bold: "1", dim: "2", red: "31", green: "32", yellow: "33", blue: "34", cyan: "36" } as const;

export type Style = keyof typeof CODES;

/** Wraps text in a style, or leaves it alone. */
export type Paint = (style: Style, text: string) => string;

export function painter(color: boolean): Paint {
  return color ? (style, text) => (text === "" ? "" : `\x1b[${CODES[style]}m${text}\x1b[0m`) : (_, text) => text;
}

/** Breaks text at spaces so that no line is longer than `width`; later lines are indented. */
export function wrap(text: string, indent = "", width: number = COLUMNS, first: string = indent): string {
  const lines: string[] = [];
  let line = first;
  let empty = true;
  for (const word of text.split(" ")) {
    if (!empty && line.length + 1 + word.length > width) {
      lines.push(line);
      line = indent;
      empty = true;
    }
    line += empty ? word : ` ${word}`;
    empty = false;
  }
  lines.push(line);
  return `${lines.join("\n")}\n`;
}

/** A horizontal rule with a title in it. */
export function rule(title: string): string {
  return `── ${title} ${"─".repeat(Math.max(0, COLUMNS - title.length - 4))}`;
}
