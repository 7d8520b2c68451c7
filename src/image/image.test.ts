/** @file Images against those Diffusers saved, and every kind of file a user may hand in. */
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import sharp from "sharp";
import { afterAll, expect, it } from "vitest";
import { EngineError, FileError, InvalidRequest, ShapeError } from "../errors.js";
import { openSafetensors } from "../weights/safetensors-file.js";
import { decodeImage, encodeImage, saveImage } from "./codec.js";
import { fromRgbImage, overBackground, type RgbImage, toRgbImage } from "./pixels.js";

const golden = new URL("../../golden/data/runs/", import.meta.url).pathname;
const folder = mkdtempSync(join(tmpdir(), "images-"));
afterAll(() => rmSync(folder, { recursive: true }));

/** A 3 x 2 image in which every value differs. */
const small: RgbImage = { width: 3, height: 2, data: Uint8Array.from({ length: 18 }, (_, i) => 14 * i) };

it("makes of every golden image, bit for bit, the pixels that Diffusers saved", async () => {
  const runs = readdirSync(golden, { recursive: true, encoding: "utf8" }).filter(
    (f) => f.endsWith(".png") && !f.includes("inputs"),
  );
  let compared = 0;
  for (const run of runs) {
    // "batch.1.png" is the second image of "batch", but "lora-0.5.png" the only one of "lora-0.5".
    const whole = run.slice(0, -".png".length);
    const [, stem = whole, item = 0] = existsSync(join(golden, `${whole}.safetensors`))
      ? []
      : /^(.*)\.(\d)$/.exec(whole)!;
    const file = await openSafetensors(join(golden, `${stem}.safetensors`));
    // Newer runs hold the PNG alone.
    const stored = file.tensors.get("image");
    if (!stored) continue;
    compared++;
    const [, height, width] = stored.shape as [number, number, number];
    const pixels = height * width;
    const start = 3 * pixels * Number(item);
    const unit = (await file.readFloats("image")).subarray(start, start + 3 * pixels);
    // The golden image is [height, width, 3] in 0..1; doubling and subtracting one is exact on its grid.
    const image = Float32Array.from(unit, (_, i) => 2 * unit[3 * (i % pixels) + Math.floor(i / pixels)]! - 1);
    const { image: decoded } = await decodeImage(join(golden, run));
    expect(Buffer.compare(toRgbImage(image, width, height).data, decoded.data), run).toBe(0);
  }
  expect(compared).toBeGreaterThan(40);
});

it("rounds to nearest even and clamps", () => {
  // x = -1 / 255 is 127 and 0 is 127.5, between 127 and 128; 2 and -2 lie outside.
  expect([...toRgbImage(new Float32Array([-1 / 255, 0, 2]), 1, 1).data]).toEqual([127, 128, 255]);
  expect([...toRgbImage(new Float32Array([-2, 1, -1]), 1, 1).data]).toEqual([0, 255, 0]);
});

it("refuses values that are not finite, instead of drawing them black", () => {
  const image = new Float32Array([0, Number.NaN, Number.POSITIVE_INFINITY]);
  expect(() => toRgbImage(image, 1, 1)).toThrow(EngineError);
  expect(() => toRgbImage(image, 1, 1)).toThrow(/image: must be finite, got .* in 2 of 3 values/);
  expect(() => toRgbImage(new Float32Array(4), 1, 1)).toThrow(ShapeError);
});

it("gives each of the 256 bytes back after a way through -1..1", () => {
  const ramp = Uint8Array.from({ length: 768 }, (_, i) => i % 256);
  const image = { width: 256, height: 1, data: ramp };
  expect(toRgbImage(fromRgbImage(image), 256, 1).data).toEqual(ramp);
});

it("lays a colour of alpha a over the background as a c + (1 - a) b", () => {
  const { data, alpha } = overBackground(new Uint8Array([200, 100, 0, 51]), [0, 100, 255]);
  expect([...data, ...alpha]).toEqual([40, 100, 204, 51]);
});

it("writes PNG without loss, JPEG and WebP, by the file's ending, and makes the folder", async () => {
  for (const [ending, format] of [
    ["png", "png"],
    ["JPG", "jpeg"],
    ["jpeg", "jpeg"],
    ["webp", "webp"],
  ]) {
    const path = join(folder, "made", `small.${ending}`);
    await saveImage(path, small);
    const read = await decodeImage(path);
    expect(read.format).toBe(format);
    expect([read.image.width, read.image.height]).toEqual([3, 2]);
    if (ending === "png") expect(read.image).toEqual(small);
  }
  expect(readdirSync(join(folder, "made"))).toHaveLength(4);
});

it("refuses an unknown ending, a bad quality and a path that cannot be written, and leaves nothing", async () => {
  await expect(saveImage(join(folder, "a.bmp"), small)).rejects.toThrow(/must end in one of ".png"/);
  await expect(encodeImage(small, "jpeg", { quality: 0 })).rejects.toThrow(/from 1 to 100, got 0/);
  await saveImage(join(folder, "file.png"), small);
  const inside = saveImage(join(folder, "file.png", "b.png"), small);
  await expect(inside).rejects.toThrow(FileError);
  expect(existsSync(join(folder, "a.bmp"))).toBe(false);
  expect(readdirSync(folder).filter((name) => name.endsWith(".partial"))).toEqual([]);
});

it("turns a photograph upright by its EXIF orientation", async () => {
  const raw = { raw: { width: 3, height: 2, channels: 3 as const } };
  const turned = await sharp(small.data, raw).withMetadata({ orientation: 6 }).png().toBuffer();
  const { image } = await decodeImage(turned);
  expect([image.width, image.height]).toEqual([2, 3]);
  // Orientation 6: the stored left column, from the bottom up, is the upright top row.
  expect([...image.data.subarray(0, 6)]).toEqual([
    ...small.data.subarray(9, 12),
    ...small.data.subarray(0, 3),
  ]);
});

it("lays transparency over white unless told otherwise, and hands over the alpha", async () => {
  const rgba = new Uint8Array([10, 20, 30, 255, 10, 20, 30, 0]);
  const png = await sharp(rgba, { raw: { width: 2, height: 1, channels: 4 } })
    .png()
    .toBuffer();
  const white = await decodeImage(png);
  expect([...white.image.data]).toEqual([10, 20, 30, 255, 255, 255]);
  expect([...white.alpha!]).toEqual([255, 0]);
  const blue = await decodeImage(png, { background: [0, 0, 255] });
  expect([...blue.image.data]).toEqual([10, 20, 30, 0, 0, 255]);
  expect(await decodeImage(await encodeImage(small, "png"))).not.toHaveProperty("alpha");
});

it("brings grey, grey with alpha, 16-bit and palette files to 8-bit RGB", async () => {
  const grey = sharp(new Uint8Array([7, 200]), { raw: { width: 2, height: 1, channels: 1 } });
  const one = await decodeImage(await grey.clone().toColourspace("b-w").png().toBuffer());
  expect([...one.image.data]).toEqual([7, 7, 7, 200, 200, 200]);
  const greyAlpha = sharp(new Uint8Array([7, 255, 200, 0]), { raw: { width: 2, height: 1, channels: 2 } });
  const two = await decodeImage(await greyAlpha.toColourspace("b-w").png().toBuffer());
  expect([...two.image.data]).toEqual([7, 7, 7, 255, 255, 255]);
  const wide = Uint16Array.from(small.data, (byte) => 257 * byte);
  const sixteen = sharp(wide, { raw: { width: 3, height: 2, channels: 3 } }).toColourspace("rgb16");
  expect((await decodeImage(await sixteen.png().toBuffer())).image).toEqual(small);
  const palette = sharp(small.data, { raw: { width: 3, height: 2, channels: 3 } }).png({ palette: true });
  expect((await decodeImage(await palette.toBuffer())).image).toEqual(small);
});

it("refuses images beyond the pixel limit, before decoding them", async () => {
  const png = await encodeImage(small, "png");
  await expect(decodeImage(png, { maxPixels: 5 })).rejects.toThrow(/at most 5 pixels, got 3 x 2/);
});

it("refuses broken, truncated and absent files with the reason", async () => {
  const noise = Uint8Array.from({ length: 64 * 64 * 3 }, (_, i) => (i * i * 31) % 251);
  const jpeg = await encodeImage({ width: 64, height: 64, data: noise }, "jpeg");
  const cases = [
    new Uint8Array(0),
    readFileSync(new URL(import.meta.url)),
    jpeg.subarray(0, jpeg.length / 2),
  ];
  for (const bytes of cases) {
    await expect(decodeImage(bytes)).rejects.toThrow(InvalidRequest);
    await expect(decodeImage(bytes)).rejects.toThrow(/image: must be an image that can be read/);
  }
  await expect(decodeImage(join(folder, "absent.png"))).rejects.toThrow(/absent\.png.*Check the path/);
  await expect(decodeImage(new Uint8Array(9), { field: "mask" })).rejects.toThrow(/^mask: must be an image/);
});
