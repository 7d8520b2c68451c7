/** @file `koala compare` against the numbers of the model card and of the published files. */

import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { InvalidRequest, ModelError } from "../errors.js";
import { knownUnets } from "../models/known.js";
import {
  candidate,
  compareCommand,
  comparison,
  type Format,
  parseSizes,
  published,
  render,
} from "./compare.js";

const rows = comparison(published(), parseSizes("1024,512"));
const named = (name: string) => rows.find((row) => row.name === name)!;

describe("the published U-Nets", () => {
  it.each([
    ["SD 2", 865_910_724, 686, 16, [1, 1, 1, 0], true],
    ["SDXL", 2_567_463_684, 1680, 70, [0, 2, 10], true],
    ["BK-SDXL", 1_717_277_764, 1110, 46, [0, 2, 10], true],
    ["KOALA-1B", 1_161_184_324, 790, 30, [0, 2, 6], true],
    ["KOALA-700M", 782_822_724, 584, 21, [0, 2, 5], false],
  ] as const)("%s has %i parameters in %i tensors, %i transformer layers", (name, count, ...rest) => {
    const row = named(name);
    expect(row.parameters).toBe(count);
    expect([row.tensors, row.transformerBlocks, row.transformerLayers, row.midBlock]).toEqual(rest);
  });

  it("have the file sizes of the model card and of the Hub's listings, in decimal gigabytes", () => {
    const gigabytes = (name: string) => Object.values(named(name).bytes).map((b) => (b / 1e9).toFixed(2));
    expect(gigabytes("SD 2")[0]).toBe("3.46");
    expect(gigabytes("SDXL")[0]).toBe("10.27");
    expect(gigabytes("KOALA-1B")).toEqual(["4.64", "2.32"]);
    expect(gigabytes("KOALA-700M")).toEqual(["3.13", "1.57"]);
  });

  it("are smaller than SDXL by the paper's 33, 54 and 69 percent", () => {
    const percent = rows.map((row) => Math.floor(100 * row.reduction));
    expect(percent.slice(1)).toEqual([0, 33, 54, 69]);
  });

  it("take 311.4 GMAC in the case of KOALA-700M at 512 pixels", () => {
    const [large, small] = named("KOALA-700M").work;
    expect([large!.size, small!.size]).toEqual(["1024", "512"]);
    expect(small!.macs / 1e9).toBeCloseTo(311.4, 1);
  });
});

describe("a U-Net of one's own", () => {
  let folder: string;
  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), "koala-compare-"));
    await mkdir(join(folder, "mine", "unet"), { recursive: true });
    await writeFile(join(folder, "mine", "unet", "config.json"), JSON.stringify(knownUnets["KOALA-1B"]));
    await writeFile(join(folder, "bad.json"), JSON.stringify({ act_fn: "mish" }));
  });
  afterAll(() => rm(folder, { recursive: true }));

  it("is read from its model folder, its unet folder or its file, and named after the model", async () => {
    for (const path of ["mine", "mine/unet", "mine/unet/config.json"]) {
      const own = await candidate(join(folder, path));
      expect(own.name).toBe("mine");
      expect(comparison([own], [])[0]).toEqual({ ...named("KOALA-1B"), name: "mine", work: [] });
    }
  });

  it("becomes the last row of the command's output", async () => {
    const written: string[] = [];
    const command = compareCommand().configureOutput({ writeOut: (text) => void written.push(text) });
    const options = ["--format", "json", "--size", "256x128", join(folder, "mine")];
    await command.parseAsync(options, { from: "user" });
    const parsed = JSON.parse(written.join(""));
    expect(parsed.map((row: { name: string }) => row.name)).toEqual([...rows.map((row) => row.name), "mine"]);
    expect(parsed[5].work[0].size).toBe("256x128");
  });

  it("with a config that is refused is named by file and field", async () => {
    const own = await candidate(join(folder, "bad.json"));
    expect(() => comparison([own], [])).toThrow(ModelError);
    expect(() => comparison([own], [])).toThrow(/bad\.json: act_fn: must be/);
  });

  it("that does not exist is refused by its path", async () => {
    await expect(candidate(join(folder, "absent"))).rejects.toThrow(
      /^model: must be a model folder .*absent/,
    );
  });

  it("shows a transformer's depth per layer where the depths differ", () => {
    const config = {
      ...knownUnets.SDXL,
      transformer_layers_per_block: [0, [2, 3], [4, 4]],
      reverse_transformer_layers_per_block: [[4, 4, 10], [2, 1, 1], 1],
    };
    const [row] = comparison([{ name: "uneven", config }], []);
    expect(row!.transformerLayers).toEqual([0, [2, 3], 4]);
    expect(row!.transformerBlocks).toBe(2 + 3 + 4 + 4 + 4 + 4 + 4 + 10 + 2 + 1 + 1);
  });
});

describe("render", () => {
  const line = (format: Format) =>
    render(rows, format)
      .split("\n")
      .find((l) => l.includes("KOALA-700M"))!;

  it("writes a KOALA-700M row with the card's numbers", () => {
    const start = ["KOALA-700M", "782,822,724", "-69.5%", "3.13", "1.57", "[0,2,5]", "21", "no", "584"];
    expect(line("table").split(/ {2,}/).slice(0, 9)).toEqual(start);
    expect(line("table")).toMatch(/ 311\.4$/);
    expect(
      line("markdown")
        .split(/ *\| */)
        .slice(1, 10),
    ).toEqual(start);
  });

  it("writes numbers exactly as JSON", () => {
    expect(JSON.parse(render(rows, "json"))).toEqual(rows);
  });

  it("marks a U-Net that is larger than SDXL with a plus and SDXL with nothing", () => {
    const config = { ...knownUnets.SDXL, layers_per_block: 3 };
    const text = render(comparison([...published(), { name: "big", config }], []), "table");
    expect(text).toMatch(/^big +[\d,]+ +\+\d+\.\d%/m);
    expect(text).toMatch(/^SDXL +2,567,463,684 +10\.27/m);
  });
});

describe("parseSizes", () => {
  it("reads squares and width x height", () => {
    expect(parseSizes("512, 1152x896")).toEqual([
      { width: 512, height: 512 },
      { width: 1152, height: 896 },
    ]);
  });

  it.each(["", "500", "0", "512,", "512x", "-512", "512x511", "1e3", "999999"])("refuses %j", (text) => {
    expect(() => parseSizes(text)).toThrow(InvalidRequest);
    expect(() => parseSizes(text)).toThrow(/^--size: must be multiples of 8/);
  });
});
