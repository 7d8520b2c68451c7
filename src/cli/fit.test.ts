import { afterEach, expect, test, vi } from "vitest";
import { type Fit, fitCommand } from "./fit.js";

const folder = new URL("../../golden/data/pipelines/koala-700m-tiny", import.meta.url).pathname;

async function printed(...args: string[]): Promise<string> {
  let text = "";
  vi.spyOn(process.stdout, "write").mockImplementation((part) => {
    text += part;
    return true;
  });
  await fitCommand()
    .exitOverride()
    .parseAsync([folder, ...args], { from: "user" });
  return text;
}

afterEach(() => vi.restoreAllMocks());

test("a row for each part, a column for each size", async () => {
  const lines = (await printed()).trimEnd().split("\n");
  expect(lines[0]).toMatch(/ available; 1 at once, with guidance$/);
  expect(lines[2]).toMatch(/^peak +512 px +768 px +1024 px$/);
  const titles = [
    "text_encoder",
    "text_encoder_2",
    "unet",
    "vae",
    "all kept loaded",
    "one after the other",
    "fits",
  ];
  for (const [i, title] of titles.entries()) expect(lines[3 + i]).toMatch(new RegExp(`^${title}  `));
});

test("the same as JSON, in bytes", async () => {
  const fit = JSON.parse(
    await printed("--sizes", "64,1024", "--batch", "2", "--no-guidance", "--json"),
  ) as Fit;
  expect(fit).toMatchObject({ batch: 2, guidance: false });
  expect(fit.rows.map((row) => row.pixels)).toEqual([64, 1024]);
  expect(fit.rows[1]!.kept).toBeGreaterThan(fit.rows[0]!.kept);
  expect(fit.rows[0]!.fits).toBe("kept");
});

test("a size that no model paints is refused by name", async () => {
  await expect(printed("--sizes", "100")).rejects.toThrow(
    "--sizes: must be a multiple of 8, got 100. Nearest: 96 or 104.",
  );
});
