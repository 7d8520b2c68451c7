/** @file Decoding of every kind of image file: orientation, transparency, depth, grey, palettes and CMYK. */

import sharp from "sharp";
import { describe, expect, it } from "vitest";
import { blue, generate, green, quarters, red, yellow } from "../../test/quarters.js";
import { type DecodeOptions, decodeImage } from "./codec.js";
import type { RgbImage } from "./pixels.js";

const raw = ({ height, width, data }: RgbImage, channels: 1 | 2 | 3 | 4 = 3) =>
  sharp(data, { raw: { height, width, channels } });

/** Colours near the four corners: top left, top right, bottom left, bottom right. */
function corners({ height, width, data }: RgbImage): number[][] {
  const at = (y: number, x: number) => [...data.subarray((y * width + x) * 3, (y * width + x) * 3 + 3)];
  const [bottom, right] = [height - 2, width - 2];
  return [at(1, 1), at(1, right), at(bottom, 1), at(bottom, right)];
}

const decoded = async (file: Uint8Array, options?: DecodeOptions): Promise<RgbImage> =>
  (await decodeImage(file, options)).image;

describe("decodeImage", () => {
  it.each([
    [1, 8, 12, [red, green, blue, yellow]],
    [2, 8, 12, [green, red, yellow, blue]],
    [3, 8, 12, [yellow, blue, green, red]],
    [4, 8, 12, [blue, yellow, red, green]],
    [5, 12, 8, [red, blue, green, yellow]],
    [6, 12, 8, [blue, red, yellow, green]],
    [7, 12, 8, [yellow, green, blue, red]],
    [8, 12, 8, [green, yellow, red, blue]],
  ])("EXIF orientation %i is applied", async (orientation, height, width, expected) => {
    const file = await raw(quarters(8, 12)).withMetadata({ orientation }).png().toBuffer();
    const image = await decoded(file);
    expect([image.height, image.width]).toEqual([height, width]);
    expect(corners(image)).toEqual(expected);
  });

  it("alpha is laid over white, or over the background given", async () => {
    const half = { height: 1, width: 2, data: Uint8Array.of(255, 0, 0, 128, 10, 20, 30, 0) };
    const file = await raw(half, 4).png().toBuffer();
    // 255 (1 - 128/255) = 127
    expect([...(await decoded(file)).data]).toEqual([255, 127, 127, 255, 255, 255]);
    const onBlue = await decoded(file, { background: [0, 0, 255] });
    expect([...onBlue.data]).toEqual([128, 0, 127, 0, 0, 255]);
  });

  it("16-bit colour becomes the upper 8 bits", async () => {
    const data = Uint16Array.of(0, 128 * 257, 65535, 200 * 257, 7 * 257, 257);
    const file = await sharp(data, { raw: { height: 1, width: 2, channels: 3 } })
      .toColourspace("rgb16")
      .png()
      .toBuffer();
    expect((await sharp(file).metadata()).depth).toBe("ushort");
    expect([...(await decoded(file)).data]).toEqual([0, 128, 255, 200, 7, 1]);
  });

  it("16-bit alpha is laid over the background too", async () => {
    const data = Uint16Array.of(0, 0, 0, 0, 65535, 0, 0, 65535);
    const file = await sharp(data, { raw: { height: 1, width: 2, channels: 4 } })
      .toColourspace("rgb16")
      .png()
      .toBuffer();
    expect((await sharp(file).metadata()).depth).toBe("ushort");
    expect([...(await decoded(file)).data]).toEqual([255, 255, 255, 255, 0, 0]);
  });

  it.each([8, 16])("%i-bit grey, with and without alpha, becomes RGB", async (bits) => {
    const of = (...values: number[]) =>
      bits === 8 ? Uint8Array.from(values) : Uint16Array.from(values, (value) => value * 257);
    const space = bits === 8 ? "b-w" : "grey16";
    const grey = await sharp(of(0, 77, 255), { raw: { height: 1, width: 3, channels: 1 } })
      .toColourspace(space)
      .png()
      .toBuffer();
    expect(await sharp(grey).metadata()).toMatchObject({
      channels: 1,
      depth: bits === 8 ? "uchar" : "ushort",
    });
    expect([...(await decoded(grey)).data]).toEqual([0, 0, 0, 77, 77, 77, 255, 255, 255]);
    const alpha = await sharp(of(0, 255, 0, 0), { raw: { height: 1, width: 2, channels: 2 } })
      .toColourspace(space)
      .png()
      .toBuffer();
    expect([...(await decoded(alpha)).data]).toEqual([0, 0, 0, 255, 255, 255]);
  });

  it("palettes and CMYK become RGB", async () => {
    const palette = await raw(quarters(8, 8)).png({ palette: true }).toBuffer();
    expect(corners(await decoded(palette))).toEqual([red, green, blue, yellow]);
    const white = generate(8, 8, () => [255, 255, 255]);
    const cmyk = await raw(white).toColourspace("cmyk").jpeg().toBuffer();
    expect((await sharp(cmyk).metadata()).space).toBe("cmyk");
    expect(Math.min(...(await decoded(cmyk)).data)).toBeGreaterThan(250);
  });

  it("a broken file and one that was cut off reject", async () => {
    const noise = generate(64, 64, (y, x) => [(y * 37 + x * 91) % 256, (y * x) % 256, (y * 11) % 256]);
    for (const file of [await raw(noise).jpeg().toBuffer(), await raw(noise).png().toBuffer()]) {
      await expect(decodeImage(file.subarray(0, file.length / 2))).rejects.toThrow();
    }
    await expect(decodeImage(Buffer.from("no image"))).rejects.toThrow();
    await expect(decodeImage(new Uint8Array(0))).rejects.toThrow();
  });
});
