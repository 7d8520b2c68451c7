/** @file PNG files taken apart: texts out, frames counted, and nothing else touched. */

import { crc32, deflateSync } from "node:zlib";
import sharp from "sharp";
import { describe, expect, it } from "vitest";
import { pngFrames, withoutPngTexts } from "./png-chunks.js";
import { withPngTexts } from "./png-texts.js";

function chunk(type: string, data: Uint8Array): Buffer {
  const body = Buffer.concat([Buffer.from(type), data]);
  const [length, check] = [Buffer.alloc(4), Buffer.alloc(4)];
  length.writeUInt32BE(data.length);
  check.writeUInt32BE(crc32(body));
  return Buffer.concat([length, body, check]);
}

/** Chunks put in after the signature and IHDR. */
const withChunks = (png: Buffer, ...chunks: Buffer[]) =>
  new Uint8Array(Buffer.concat([png.subarray(0, 33), ...chunks, png.subarray(33)]));

const plain = await sharp({ create: { width: 8, height: 4, channels: 4, background: "#c338" } })
  .withMetadata({ orientation: 6 })
  .png()
  .toBuffer();
const zeros = (megabytes: number) => deflateSync(Buffer.alloc(megabytes * 2 ** 20), { level: 9 });
const bomb = (kind: string) => chunk(kind, Buffer.concat([Buffer.from("k\0\0"), zeros(1)]));

describe("a PNG without its texts", () => {
  it("is what it was before they were put in", () => {
    const texts = withPngTexts(new Uint8Array(plain), { parameters: "Steps: 4", other: "漢字" });
    expect(withoutPngTexts(texts)).toEqual(new Uint8Array(plain));
    expect(withoutPngTexts(new Uint8Array(plain))).toEqual(new Uint8Array(plain));
  });

  it("keeps its pixels and its orientation, and gives a decoder nothing to inflate but them", async () => {
    const stripped = withoutPngTexts(withChunks(plain, ...new Array(256).fill(bomb("zTXt"))));
    expect(stripped.length).toBe(plain.length);
    const read = (file: Uint8Array) => sharp(file).raw().toBuffer();
    expect(await read(stripped)).toEqual(await read(plain));
    const { orientation, comments } = await sharp(stripped).metadata();
    expect({ orientation, comments }).toEqual({ orientation: 6, comments: undefined });
  });

  it("stays as broken as it was", () => {
    const whole = withChunks(plain, bomb("zTXt"));
    for (const length of [0, 8, 20, 40, 100, whole.length - 1])
      expect(withoutPngTexts(whole.subarray(0, length)).length).toBeLessThanOrEqual(length);
  });
});

describe("the frames of a PNG", () => {
  const control = (frames: number) => {
    const data = Buffer.alloc(8);
    data.writeUInt32BE(frames);
    return chunk("acTL", data);
  };

  it("are what it says before its pixels", () => {
    expect(pngFrames(new Uint8Array(plain))).toBe(1);
    expect(pngFrames(withChunks(plain, control(7)))).toBe(7);
    expect(pngFrames(withChunks(plain, bomb("zTXt"), control(2)))).toBe(2);
  });

  it("are not counted behind its pixels, where the chunk means nothing", () => {
    const end = plain.length - 12;
    const late = Buffer.concat([plain.subarray(0, end), control(7), plain.subarray(end)]);
    expect(pngFrames(new Uint8Array(late))).toBe(1);
  });
});
