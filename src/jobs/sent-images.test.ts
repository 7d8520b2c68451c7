/** @file Images that clients send: bombs and broken files are refused before they cost anything. */

import { crc32, deflateSync } from "node:zlib";
import sharp from "sharp";
import { describe, expect, it } from "vitest";
import { InvalidRequest } from "../errors.js";
import { sourceFromBytes, sourceFromText } from "./sent-images.js";

const image = sharp({ create: { width: 40, height: 24, channels: 3, background: "#c33" } });

function chunk(type: string, data: Uint8Array): Buffer {
  const body = Buffer.concat([Buffer.from(type), data]);
  const [length, check] = [Buffer.alloc(4), Buffer.alloc(4)];
  length.writeUInt32BE(data.length);
  check.writeUInt32BE(crc32(body));
  return Buffer.concat([length, body, check]);
}

/** A PNG whose header says this size, and whose data is zeros. */
function png(width: number, height: number, rows = 0): Uint8Array {
  const header = Buffer.alloc(13);
  header.writeUInt32BE(width, 0);
  header.writeUInt32BE(height, 4);
  header.set([8, 0], 8);
  const data = deflateSync(Buffer.alloc(rows * (width + 1)));
  const parts = [chunk("IHDR", header), chunk("IDAT", data), chunk("IEND", Buffer.alloc(0))];
  return new Uint8Array(Buffer.concat([Buffer.from("\x89PNG\r\n\x1a\n", "latin1"), ...parts]));
}

async function refused(bytes: Uint8Array): Promise<string> {
  const error: unknown = await sourceFromBytes("image", bytes).then(
    () => expect.fail("it was taken"),
    (e) => e,
  );
  expect(error).toBeInstanceOf(InvalidRequest);
  return (error as InvalidRequest).message;
}

describe("an image that is sent", () => {
  it("is taken as PNG, JPEG and WebP, in base64 or a data: URL, with the size it is seen at", async () => {
    const lying = image.clone().withMetadata({ orientation: 6 });
    expect(await sourceFromBytes("image", await lying.jpeg().toBuffer())).toMatchObject({
      width: 24,
      height: 40,
    });
    for (const file of [await image.clone().png().toBuffer(), await image.clone().webp().toBuffer()]) {
      expect(await sourceFromText("image", file.toString("base64"))).toMatchObject({ width: 40, height: 24 });
      const url = `data:image/png;base64,${file.toString("base64")}`;
      expect(await sourceFromText("image", url)).toMatchObject({ width: 40, height: 24 });
    }
  });

  it("is refused by its header if it has too many pixels", async () => {
    const before = process.memoryUsage().rss;
    for (const [width, height] of [
      [4097, 4096],
      [60_000, 60_000],
      [2 ** 31 - 1, 2 ** 31 - 1],
    ] as const)
      expect(await refused(png(width, height))).toMatch(/pixels|cannot be decoded/);
    expect(process.memoryUsage().rss - before).toBeLessThan(100 * 2 ** 20);
  });

  it("is refused if it is cut off, empty, or ends early", async () => {
    const whole = new Uint8Array(await image.clone().jpeg().toBuffer());
    expect(await refused(whole.subarray(0, whole.length / 2))).toMatch(/whole JPEG file/);
    expect(await refused(png(64, 64, 1))).toMatch(/whole PNG file/);
    for (const start of ["\x89PNG\r\n\x1a\n", "\xff\xd8\xff", "RIFF\0\0\0\0WEBP"])
      expect(await refused(new Uint8Array(Buffer.from(start, "latin1")))).toMatch(/cannot be decoded/);
    expect(await refused(new Uint8Array())).toMatch(/something else/);
  });

  it("is refused in every other format, whatever sharp could do with it", async () => {
    const gif = await image.clone().gif().toBuffer();
    const tiff = await image.clone().tiff().toBuffer();
    const svg = Buffer.from(
      '<svg xmlns="http://www.w3.org/2000/svg"><image href="file:///etc/passwd"/></svg>',
    );
    for (const file of [gif, tiff, svg, Buffer.from("%PDF-1.7")])
      expect(await refused(file)).toMatch(/must be a PNG, JPEG or WebP file/);
  });

  it("is refused if it moves", async () => {
    const frames = sharp(
      [await image.clone().png().toBuffer(), await image.clone().negate().png().toBuffer()],
      {
        join: { animated: true },
      },
    );
    expect(await refused(await frames.webp().toBuffer())).toMatch(/one image, got 2 frames/);
    // libvips sees one page in an animated PNG, which says how many there are before its pixels.
    const still = await image.clone().png().toBuffer();
    const control = Buffer.alloc(8);
    control.writeUInt32BE(3);
    const moving = Buffer.concat([still.subarray(0, 33), chunk("acTL", control), still.subarray(33)]);
    expect((await sharp(moving).metadata()).pages).toBeUndefined();
    expect(await refused(new Uint8Array(moving))).toBe("image: must be one image, got 3 frames.");
  });

  it("is never an address", async () => {
    for (const text of [
      "http://127.0.0.1/x.png",
      "file:///etc/passwd",
      "ftp://x",
      "data:text/html,x",
      "a\0b",
      "é",
    ])
      await expect(sourceFromText("image", text)).rejects.toBeInstanceOf(InvalidRequest);
  });
});
