/** @file Where images go: decided and tried beforehand, numbered where names are ours, and kept where all else fails. */

import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { afterAll, afterEach, describe, expect, it, vi } from "vitest";
import { FileError } from "../errors.js";
import { decodeImage } from "../image/codec.js";
import { GeneratedImage } from "../pipeline/generated-image.js";
import { checkFiles, openOutput, writeOutputs } from "./output-files.js";

const scratch = mkdtempSync(path.join(tmpdir(), "koala-output-"));
afterAll(() => rmSync(scratch, { recursive: true }));
afterEach(() => vi.unstubAllEnvs());
const at = (...names: string[]) => path.join(scratch, ...names);

/** An image of one colour, so that each is recognised. */
const image = (value: number) =>
  new GeneratedImage({ width: 2, height: 1, data: new Uint8Array(6).fill(value) }, undefined);
const colourOf = async (file: string) => (await decodeImage(file)).image.data[0];
const where = { index: 0, seed: 7n, metadata: true };

describe("an output", () => {
  it.each([
    ["that ends in a slash", "a/new/", "a/new/koala-7.png"],
    ["without an ending, which is not there yet", "b/new", "b/new/koala-7.png"],
    ["that is a folder, whatever its name", "c.png", "c.png/koala-7.png"],
    ["that is a file's name", "d/x.webp", "d/x.webp"],
  ])("%s gets its image, and nothing before there is one", async (_, output, file) => {
    if (output === "c.png") mkdirSync(at(output));
    const before = readdirSync(scratch);
    const { save } = await openOutput({ output: at(output) + (output.endsWith("/") ? "/" : "") }, 1);
    expect(readdirSync(scratch)).toEqual(before);
    const { files, failure } = await save([image(1)], where);
    expect([files, failure]).toEqual([[at(file)], undefined]);
    expect((await decodeImage(at(file))).format).toBe(file.endsWith("webp") ? "webp" : "png");
  });

  it("that was named is overwritten, and counted where there are several images", async () => {
    const { save: one } = await openOutput({ output: at("named.png") }, 1);
    await one([image(1)], where);
    await one([image(2)], where);
    expect(await colourOf(at("named.png"))).toBe(2);
    const { save: several } = await openOutput({ output: at("several.png") }, 3);
    await several([image(3), image(4)], where);
    await several([image(5)], { ...where, index: 2 });
    expect(await colourOf(at("several-1.png"))).toBe(3);
    expect(await colourOf(at("several-3.png"))).toBe(5);
  });

  it("that was not named never takes another file's place", async () => {
    const { save } = await openOutput({ output: at("ours/") }, 2);
    expect((await save([image(1), image(2)], where)).files).toEqual([
      at("ours/koala-7.png"),
      at("ours/koala-8.png"),
    ]);
    expect((await save([image(3)], where)).files).toEqual([at("ours/koala-7-2.png")]);
    expect(await colourOf(at("ours/koala-7.png"))).toBe(1);
  });

  it.each([
    ["images.bmp", /^--output: must end in one of ".png".*end it in \/ for a folder\.$/],
    ["plain", /^--output: must end in one of ".png"/],
    ["plain/x.png", /plain: must be writable, got EEXIST/],
    ["plain/deep/x.png", /deep: must be writable, got ENOTDIR/],
    [`${"n".repeat(300)}.png`, /must be writable, got ENAMETOOLONG .*Choose a shorter name/],
    ["taken.png", /taken-2\.png: must be a file, got a folder/],
  ])("%s is refused before there is an image", async (output, message) => {
    writeFileSync(at("plain"), "");
    mkdirSync(at("taken-2.png"), { recursive: true });
    await expect(openOutput({ output: at(output) }, 2)).rejects.toThrow(message);
  });

  it("is never the image that it was made from, counted or not", async () => {
    const from = at("from-2.png");
    await expect(openOutput({ output: from, from }, 1)).rejects.toThrow(/another file than that of --from/);
    await expect(openOutput({ output: at("from.png"), from }, 2)).rejects.toThrow(/another file/);
  });
});

describe("an image whose place has become unwritable meanwhile", () => {
  it("is kept in a folder of its own among the temporary files, and the error says where", async () => {
    mkdirSync(at("temporary"));
    vi.stubEnv("TMPDIR", at("temporary"));
    const { save } = await openOutput({ output: at("gone/") }, 2);
    writeFileSync(at("gone"), "a file in its place");
    const { files, failure } = await save([image(1), image(2)], where);
    expect(files.map((file) => path.dirname(path.dirname(file)))).toEqual([at("temporary"), at("temporary")]);
    expect(await Promise.all(files.map(colourOf))).toEqual([1, 2]);
    expect(failure).toBeInstanceOf(FileError);
    expect(failure!.message).toMatch(/^.*gone: must be writable, got EEXIST .*\. What was generated is in /);
    expect(failure!.message).toContain(files.join(", "));
  });

  it("is lost only where the temporary folder cannot be written either, and both are told", async () => {
    writeFileSync(at("no-folder"), "");
    vi.stubEnv("TMPDIR", at("no-folder"));
    const written = writeOutputs([
      { file: at("no-folder/x.png"), numbered: false, bytes: async () => new Uint8Array(1) },
    ]);
    await expect(written).rejects.toThrow(
      /no-folder: must be writable, got EEXIST .* could not be kept elsewhere: .*no-folder\/koala-\w+: .*ENOTDIR/,
    );
  });
});

it("A check of several files names the one that is a folder, and leaves nothing", async () => {
  mkdirSync(at("grid/cells/b.png"), { recursive: true });
  await expect(checkFiles([at("grid/grid.png"), at("grid/cells/b.png")])).rejects.toThrow(
    /cells\/b\.png: must be a file, got a folder/,
  );
  await checkFiles([at("other/grid.png"), at("other/cells/a.png")]);
  expect(existsSync(at("other"))).toBe(false);
  expect(readFileSync(at("plain"), "utf8")).toBe("");
});
