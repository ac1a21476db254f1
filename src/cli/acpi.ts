/** `acpi`: a DMAR or IORT table as a tree, with what is wrong in it. */
import { parseDmar } from "../capture/acpi/dmar.ts";
import { parseIort } from "../capture/acpi/iort.ts";
import { type AcpiNode, type AcpiTable, tableBytes } from "../capture/acpi/table.ts";
import { readFile } from "../capture/node/files.ts";
import { hex } from "../check.ts";
import type { Io } from "./io.ts";
import { type Paint, wrap } from "./paint.ts";
import { EXIT, readArguments, type Verb } from "./verb.ts";

export const acpi: Verb = {
  name: "acpi",
  summary: "show firmware's DMAR or IORT table as a tree, and what is wrong in it",
  form: "acpi FILE [--json]",
  help: `FILE        the table as /sys/firmware/acpi/tables has it, or acpidump's text
--json      {"signature","root":{"title","offset","fields","children"},
            "findings":[{"offset","problem","why"}]}

Findings are contradictions and gaps that operating systems stumble over, and a
missing request for DMA protection: exit 1.

example:
  npm run -s cli -- acpi test/corpus/iort.acpidump
`,
  async run(args, io: Io) {
    const { positionals, json, paint } = readArguments(args, io, {}, [1, 1], "a table");
    const file = positionals[0] as string;
    const bytes = tableBytes(file, readFile(file));
    const table = bytes.text(0, 4) === "DMAR" ? parseDmar(bytes) : parseIort(bytes);
    io.out(json ? `${JSON.stringify(table)}\n` : tell(table, paint));
    return table.findings.length > 0 ? EXIT.FINDINGS : EXIT.OK;
  },
};

function tell({ root, findings }: AcpiTable, paint: Paint): string {
  let text = tellNode(root, 0, paint);
  for (const { offset, problem, why } of findings) {
    const line = wrap(`at ${hex(offset)}: ${problem}: ${why}`, "    ", undefined, "  ! ");
    text += `${paint("red", line.trimEnd())}\n`;
  }
  return text;
}

function tellNode({ title, offset, fields, children }: AcpiNode, depth: number, paint: Paint): string {
  const indent = "  ".repeat(depth);
  const place = depth === 1 ? ` (at ${hex(offset)})` : "";
  const line = wrap(`${title}${place}`, `${indent}  `, undefined, indent);
  let text = depth < 2 ? line.replace(title, paint("bold", title)) : line;
  for (const [name, value] of fields) text += wrap(`${name}: ${value}`, `${indent}    `, undefined, `${indent}  `);
  return text + children.map((child) => tellNode(child, depth + 1, paint)).join("");
}
