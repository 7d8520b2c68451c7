/** @file The layout of a grid's sheet: texts and cells are inside it and do not overlap. */

import { describe, expect, it } from "vitest";
import { type SheetContent, sheetLayout, textWidth, wrapped } from "./layout.js";

const content = (changes: Partial<SheetContent> = {}): SheetContent => ({
  columns: ["seed 1", "seed 2", "seed 3"],
  rows: ["guidance 1", "guidance 3.5"],
  cellWidth: 512,
  cellHeight: 384,
  title: "a red bicycle beside a yellow wall",
  caption: "koala-lightning-1b, 10 steps, euler",
  ...changes,
});

describe("a sheet", () => {
  it.each([
    ["of large cells", content()],
    [
      "of tiny cells with long labels",
      content({ cellWidth: 64, cellHeight: 64, rows: ["dpmpp-2m-sde-karras"] }),
    ],
    ["of one cell without rows", content({ columns: ["x"], rows: [] })],
    [
      "of very long words",
      content({ columns: ["a".repeat(500)], rows: ["b".repeat(500)], title: "c ".repeat(900) }),
    ],
  ])("%s has its texts and cells inside", (_, given) => {
    const { width, height, texts, cells } = sheetLayout(given);
    expect(cells).toHaveLength(given.columns.length * Math.max(1, given.rows.length));
    const firstCell = cells[0]!;
    for (const cell of cells) {
      expect(cell.x + cell.width).toBeLessThan(width);
      expect(cell.y + cell.height).toBeLessThan(height);
    }
    for (const { text, x, y, size, bold, anchor } of texts) {
      const long = textWidth(text, size, bold);
      const left = anchor === "start" ? x : anchor === "end" ? x - long : x - long / 2;
      expect(left).toBeGreaterThanOrEqual(0);
      expect(left + long).toBeLessThanOrEqual(width);
      if (anchor === "middle") expect(y).toBeLessThan(firstCell.y);
      if (anchor === "end") expect(x).toBeLessThan(firstCell.x);
    }
  });

  it("enlarges tiny cells by an integer factor, and shrinks a sheet that is too large for a canvas", () => {
    expect(sheetLayout(content({ cellWidth: 64, cellHeight: 64 })).cells[0]!.width).toBe(192);
    const huge = sheetLayout(
      content({ columns: Array.from({ length: 40 }, (_, i) => `seed ${i}`), cellWidth: 1024 }),
    );
    expect(huge.width).toBeLessThan(17_500);
  });
});

describe("a label", () => {
  it("is wrapped at words, at hyphens, and cut where there is no room", () => {
    expect(wrapped("one two three", 10, 50, 3)).toEqual(["one two", "three"]);
    expect(wrapped("dpmpp-2m-karras", 10, 70, 3)).toEqual(["dpmpp-2m-", "karras"]);
    expect(wrapped("one two three four", 10, 30, 2).at(-1)).toMatch(/…$/);
  });
});
