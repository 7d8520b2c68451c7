/**
 * @file The layout of a grid's sheet: positions of title, labels and cells. `image/sheet.ts` draws it as SVG and the page
 * on a canvas, so widths of letters are from a table.
 */

export type SheetText = {
  text: string;
  /** The baseline. */
  x: number;
  y: number;
  size: number;
  bold: boolean;
  anchor: "start" | "middle" | "end";
};

type SheetCell = { column: number; row: number; x: number; y: number; width: number; height: number };
export type SheetLayout = { width: number; height: number; texts: SheetText[]; cells: SheetCell[] };

export type SheetContent = {
  columns: readonly string[];
  /** Empty for a grid of one row without a label. */
  rows: readonly string[];
  cellWidth: number;
  cellHeight: number;
  title: string;
  /** The settings that all cells share. */
  caption: string;
};

export const sheetColours = {
  ground: "#ffffff",
  ink: "#20262a",
  quiet: "#5b646a",
  empty: "#eceae4",
} as const;

/** A browser's canvas has about this many pixels at most. */
const maxPixels = 100e6;
const maxSide = 16_000;
/** The smallest width of a cell, below which labels have no room. */
const minCell = 160;

export function sheetLayout(content: SheetContent): SheetLayout {
  const { columns, rows, cellWidth, cellHeight, title, caption } = content;
  const scale = cellScale(content);
  const [width, height] = [Math.round(cellWidth * scale), Math.round(cellHeight * scale)];
  const size = Math.round(Math.min(28, Math.max(12, width / 18)));
  const gap = Math.max(4, Math.round(size / 3));
  const margin = 2 * size;
  const labels = columns.map((label) => wrapped(label, size, width - size, 3));
  const side = wrappedRows(rows, size, width);
  const sideWidth = side.width === 0 ? 0 : side.width + size;
  const across = columns.length * (width + gap) - gap;
  const sheetWidth = Math.max(margin * 2 + sideWidth + across, 360);
  const head = heading(title, caption, size, sheetWidth - 2 * margin, margin);
  const deepest = Math.max(...labels.map((lines) => lines.length));
  const top = head.bottom + size + deepest * size * 1.25;
  const left = margin + sideWidth;
  const xOf = (column: number) => left + column * (width + gap);
  const yOf = (row: number) => Math.round(top + size * 0.6) + row * (height + gap);
  const rowCount = Math.max(1, rows.length);
  return {
    width: Math.round(sheetWidth),
    height: yOf(rowCount) - gap + margin,
    texts: [
      ...head.texts,
      ...labels.flatMap((lines, column) =>
        lines.map((text, i) => {
          const y = top - (lines.length - 1 - i) * size * 1.25;
          return { text, x: xOf(column) + width / 2, y, size, bold: true, anchor: "middle" as const };
        }),
      ),
      ...side.lines.flatMap((lines, row) =>
        lines.map((text, i) => {
          const y = yOf(row) + height / 2 + (i - (lines.length - 1) / 2) * size * 1.25 + size * 0.35;
          return { text, x: left - size, y, size, bold: true, anchor: "end" as const };
        }),
      ),
    ],
    cells: Array.from({ length: rowCount * columns.length }, (_, i) => {
      const [column, row] = [i % columns.length, Math.floor(i / columns.length)];
      return { column, row, x: xOf(column), y: yOf(row), width, height };
    }),
  };
}

/** Small images are enlarged by whole numbers, so that labels fit; large sheets are made smaller. */
function cellScale({ columns, rows, cellWidth, cellHeight }: SheetContent): number {
  const enlarged = Math.max(1, Math.ceil(minCell / cellWidth));
  const across = columns.length * cellWidth * enlarged;
  const down = Math.max(1, rows.length) * cellHeight * enlarged;
  const fits = Math.min(1, maxSide / across, maxSide / down, Math.sqrt(maxPixels / (across * down)));
  return enlarged * fits;
}

function wrappedRows(rows: readonly string[], size: number, cellWidth: number) {
  const most = Math.max(8 * size, cellWidth * 0.6);
  const lines = rows.map((label) => wrapped(label, size, most, 4));
  return {
    lines,
    width: Math.ceil(Math.max(0, ...lines.flat().map((line) => textWidth(line, size, true)))),
  };
}

function heading(title: string, caption: string, size: number, room: number, margin: number) {
  const texts: SheetText[] = [];
  let y = margin;
  const add = (text: string, scale: number, bold: boolean, lines: number) => {
    for (const line of text === "" ? [] : wrapped(text, size * scale, room, lines)) {
      y += size * scale * 1.25;
      texts.push({ text: line, x: margin, y, size: size * scale, bold, anchor: "start" });
    }
  };
  add(title, 1.2, true, 3);
  add(caption, 0.9, false, 2);
  return { texts, bottom: y };
}

/** Lines no wider than `room`; a text of more than `most` lines ends in "…". */
export function wrapped(text: string, size: number, room: number, most: number): string[] {
  const fits = (line: string) => textWidth(line, size, true) <= room;
  const lines: string[] = [];
  let line = "";
  const words = text
    .trim()
    .split(/\s+/)
    .flatMap((word) => pieces(word, fits));
  for (const word of words) {
    const longer = line === "" ? word : `${line} ${word}`;
    if (line === "" || fits(longer)) line = longer;
    else {
      lines.push(line);
      line = word;
    }
  }
  lines.push(line);
  if (lines.length <= most) return lines;
  let last = lines[most - 1]!;
  while (last !== "" && !fits(`${last}…`)) last = [...last].slice(0, -1).join("");
  return [...lines.slice(0, most - 1), `${last}…`];
}

/** A word that is wider than a line, cut into pieces that fit, at hyphens where it has some. */
function pieces(word: string, fits: (line: string) => boolean): string[] {
  if (fits(word)) return [word];
  const cut: string[] = [""];
  for (const part of word.split(/(?<=-)/).flatMap((p) => (fits(p) ? [p] : [...p]))) {
    const longer = cut.at(-1)! + part;
    if (fits(longer) || cut.at(-1) === "") cut[cut.length - 1] = longer;
    else cut.push(part);
  }
  return cut;
}

/** The approximate width of a text in a sans-serif font. */
export function textWidth(text: string, size: number, bold = false): number {
  let width = 0;
  for (const letter of text) width += letterWidth(letter);
  return width * size * (bold ? 1.06 : 1);
}

function letterWidth(letter: string): number {
  if (letter.codePointAt(0)! >= 0x1100) return 1.05;
  if (/[ iljtfrI.,:;'|!()[\]-]/.test(letter)) return 0.38;
  if (/[mwMW@%]/.test(letter)) return 0.95;
  return /[A-Z]/.test(letter) ? 0.72 : 0.61;
}
