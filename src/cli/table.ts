/** @file Tables of text, for a terminal and as Markdown. */

/** A column's title; `numeric` aligns it to the right. */
export type Column = { readonly title: string; readonly numeric?: boolean };
/** A row: one formatted cell per column. */
export type Cells = readonly string[];

/** Columns two spaces apart under their titles, without colours; ends in a newline. */
export function textTable(columns: readonly Column[], rows: readonly Cells[]): string {
  return lines(
    columns,
    rows.map((row) => row.map(oneLine)),
    (cells) => cells.join("  ").trimEnd(),
  );
}

/** A Markdown table (GitHub's), its source aligned as well; ends in a newline. */
export function markdownTable(columns: readonly Column[], rows: readonly Cells[]): string {
  const titled = columns.map((c) => ({ ...c, title: markdown(c.title) }));
  return lines(
    titled,
    rows.map((row) => row.map(markdown)),
    (cells) => `| ${cells.join(" | ")} |`,
    (width, numeric) => (numeric ? `${"-".repeat(width - 1)}:` : "-".repeat(width)),
  );
}

function lines(
  columns: readonly Column[],
  rows: readonly Cells[],
  join: (cells: Cells) => string,
  rule?: (width: number, numeric: boolean) => string,
): string {
  const table = [columns.map((c) => c.title), ...rows];
  // Markdown wants three dashes at least in its rule.
  const widths = columns.map((_, i) => Math.max(rule ? 3 : 0, ...table.map((row) => width(row[i]!))));
  const padded = table.map((row) => join(row.map((cell, i) => pad(cell, widths[i]!, columns[i]!.numeric))));
  if (rule) padded.splice(1, 0, join(columns.map((c, i) => rule(widths[i]!, c.numeric ?? false))));
  return `${padded.join("\n")}\n`;
}

/** In code points: scripts with double-width characters come out ragged. */
const width = (s: string): number => [...s].length;

const pad = (s: string, to: number, numeric = false): string => {
  const space = " ".repeat(to - width(s));
  return numeric ? space + s : s + space;
};

/** A file name may hold line breaks and escape codes; a terminal must not obey them. */
const oneLine = (s: string): string => s.replace(/\p{Cc}+/gu, " ");

const markdown = (s: string): string => oneLine(s).replace(/[\\|]/g, "\\$&");
