/** @file Tables: alignment and escaping. */

import { expect, it } from "vitest";
import { markdownTable, textTable } from "./table.js";

const columns = [{ title: "Name" }, { title: "MB", numeric: true }];

it("a text table aligns words to the left and numbers to the right, with no space at a line's end", () => {
  expect(
    textTable(columns, [
      ["unet", "1,234"],
      ["vae", "7"],
    ]),
  ).toBe("Name     MB\nunet  1,234\nvae       7\n");
  expect(textTable([...columns].reverse(), [["7", "vae"]])).toBe("MB  Name\n 7  vae\n");
});

it("a Markdown table says the alignment in its rule, which is never shorter than three dashes", () => {
  expect(markdownTable(columns, [["vae", "7"]])).toBe("| Name |  MB |\n| ---- | --: |\n| vae  |   7 |\n");
});

it("a cell can neither end its row nor reach the terminal as an escape code", () => {
  expect(markdownTable([{ title: "a" }], [["x|y\nz"]])).toContain("| x\\|y z |");
  expect(textTable([{ title: "a" }], [["\u001b[31mred\n"]])).toBe("a\n [31mred\n");
});

it("a character beyond the first Unicode plane is one wide", () => {
  expect(
    textTable(
      [{ title: "a" }, { title: "b" }],
      [
        ["𝒜", "1"],
        ["xy", "2"],
      ],
    ),
  ).toBe("a   b\n𝒜   1\nxy  2\n");
});

it("a table without rows is its titles", () => {
  expect(textTable(columns, [])).toBe("Name  MB\n");
});
