import { deflateSync, gzipSync } from "node:zlib";
import sharp from "sharp";
import { describe, expect, it } from "vitest";
import { Generator } from "../diffusion/random.js";
import { InvalidRequest } from "../errors.js";
import { encodePicture, type PictureFormat } from "./encode.js";
import { readTexts } from "./metadata.js";
import { readUserComment } from "./metadata-exif.js";
import { readPngTexts, withPngTexts } from "./metadata-png.js";

const formats: readonly PictureFormat[] = ["png", "jpeg", "webp"];
const picture = { width: 16, height: 8, data: Uint8Array.from({ length: 16 * 8 * 3 }, (_, i) => i % 251) };
const record = '{"prompt":"\\u6f22 \\u003ca \\u0026 b\\u003e \\"q\\" it\'s"}';
const last = "Steps: 20, Sampler: Euler a, CFG scale: 7, Seed: 1";
const prompts = {
  Latin: "a grün, \"quoted\": 'frame', 100 % (red:1.2)",
  "line breaks": "first line\nsecond, line\nNegative prompt: ugly",
  "other scripts": "漢字 кот 🐨 e\u0301 \u202eright to left",
};

describe.each(formats)("a %s file", (format) => {
  it.each(Object.entries(prompts))("gives back both texts, the prompt in %s", async (_, prompt) => {
    const texts = { parameters: `${prompt}\n${last}`, record };
    expect(await readTexts(await encodePicture(picture, format, { texts }))).toEqual(texts);
  });

  it("says that a trained model made it, in XMP that names IPTC's term", async () => {
    const bytes = await encodePicture(picture, format, { texts: { parameters: last, record } });
    const { xmp } = await sharp(bytes).metadata();
    expect(xmp?.toString()).toContain(
      "<Iptc4xmpExt:DigitalSourceType>http://cv.iptc.org/newscodes/digitalsourcetype/trainedAlgorithmicMedia</",
    );
  });

  it("has the same bytes each time, and its pixels do not depend on the texts", async () => {
    const encoded = () => encodePicture(picture, format, { texts: { parameters: last, record } });
    expect(await encoded()).toEqual(await encoded());
    const pixels = async (bytes: Uint8Array) => sharp(bytes).raw().toBuffer();
    expect(await pixels(await encoded())).toEqual(await pixels(await encodePicture(picture, format)));
  });

  it("without texts holds none, nor EXIF, nor XMP", async () => {
    const bytes = await encodePicture(picture, format);
    expect(await readTexts(bytes)).toEqual({});
    expect(await sharp(bytes).metadata()).not.toHaveProperty("exif");
    expect(await sharp(bytes).metadata()).not.toHaveProperty("xmp");
  });

  it("cut or with wrong bytes anywhere is read, or refused as a picture", { timeout: 60_000 }, async () => {
    const whole = await encodePicture(picture, format, { texts: { parameters: last, record } });
    const random = new Generator(5);
    const at = (below: number) => random.randint(1, { high: below })[0]!;
    for (let round = 0; round < 300; round++) {
      const bytes = whole.slice(0, round % 3 === 0 ? at(whole.length) : whole.length);
      for (let i = at(8); i > 0 && bytes.length > 0; i--) bytes[at(bytes.length)] = at(256);
      const read = await readTexts(bytes).catch((error: unknown) => error);
      if (read instanceof Error) expect(read).toBeInstanceOf(InvalidRequest);
    }
  });
});

describe("PNG text chunks", () => {
  const type = (png: Uint8Array) =>
    Buffer.from(png)
      .toString("latin1")
      .match(/[tiz](EXt|TXt)/)?.[0];

  it("are tEXt in Latin-1 where that holds the text, and iTXt in UTF-8 where it does not", async () => {
    const png = await encodePicture(picture, "png");
    expect(type(withPngTexts(png, { parameters: "grün" }))).toBe("tEXt");
    expect(withPngTexts(png, { parameters: "grün" })).toContain(0xfc);
    expect(type(withPngTexts(png, { parameters: "字" }))).toBe("iTXt");
  });

  it("hold XMP as iTXt, where XMP's part 3 wants it", async () => {
    const png = Buffer.from(await encodePicture(picture, "png", { texts: { parameters: last, record } }));
    expect(png.toString("latin1")).toContain("iTXtXML:com.adobe.xmp\0\0\0\0\0<?xpacket");
  });

  it("pass the check of libpng's successor in sharp", async () => {
    const png = withPngTexts(await encodePicture(picture, "png"), { one: "plain", two: "字" });
    const { comments } = await sharp(png).metadata();
    expect(comments).toEqual([
      { keyword: "one", text: "plain" },
      { keyword: "two", text: "字" },
    ]);
  });

  it("with a wrong check sum are passed over", async () => {
    const png = Buffer.from(withPngTexts(await encodePicture(picture, "png"), { one: "first" }));
    png[png.indexOf("first")] = 0x46;
    expect(readPngTexts(png).size).toBe(0);
  });

  it("that are compressed are read, and dropped where they would take more than a megabyte", async () => {
    const png = await encodePicture(picture, "png");
    const compressed = (text: string) => withCompressed(Buffer.from(png), deflateSync(text));
    expect(readPngTexts(compressed("packed")).get("k")).toBe("packed");
    expect(readPngTexts(compressed("a".repeat(2 ** 20 + 1))).size).toBe(0);
  });

  /** A chunk zTXt before the pixels: keyword "k", NUL, method 0, data. */
  function withCompressed(png: Buffer, data: Buffer): Buffer {
    const body = Buffer.concat([Buffer.from("zTXtk\0\0", "latin1"), data]);
    const chunk = Buffer.alloc(body.length + 8);
    chunk.writeUInt32BE(body.length - 4, 0);
    body.copy(chunk, 4);
    chunk.writeUInt32BE(crcByGzip(body), body.length + 4);
    return Buffer.concat([png.subarray(0, 33), chunk, png.subarray(33)]);
  }
});

describe("UserComment", () => {
  /** Big- and little-endian EXIF with one comment, its bytes as given. */
  const exif = (order: "II" | "MM", comment: Buffer): Buffer => {
    const little = order === "II";
    const bytes = Buffer.alloc(44);
    const u16 = (value: number, at: number) =>
      little ? bytes.writeUInt16LE(value, at) : bytes.writeUInt16BE(value, at);
    const u32 = (value: number, at: number) =>
      little ? bytes.writeUInt32LE(value, at) : bytes.writeUInt32BE(value, at);
    bytes.write(order, 0, "latin1");
    u16(42, 2);
    u32(8, 4);
    for (const [at, tag, type, count, value] of [
      [8, 0x8769, 4, 1, 26],
      [26, 0x9286, 7, comment.length, 44],
    ] as const) {
      u16(1, at);
      u16(tag, at + 2);
      u16(type, at + 4);
      u32(count, at + 6);
      u32(value, at + 10);
    }
    return Buffer.concat([bytes, comment]);
  };
  const unicode = Buffer.from("UNICODE\0", "latin1");
  const text = "漢字, a cat\nSteps: 4";

  it.each(["II", "MM"] as const)(
    "of other programs is read in both orders of UTF-16, in %s files",
    (order) => {
      const little = Buffer.from(text, "utf16le");
      expect(readUserComment(exif(order, Buffer.concat([unicode, little])))).toBe(text);
      expect(readUserComment(exif(order, Buffer.concat([unicode, Buffer.from(little).swap16()])))).toBe(text);
    },
  );

  it("in ASCII is read", () => {
    expect(readUserComment(exif("MM", Buffer.from("ASCII\0\0\0Steps: 4\0", "latin1")))).toBe("Steps: 4");
  });

  it("that reaches beyond the file is passed over", () => {
    const whole = exif("MM", Buffer.concat([unicode, Buffer.from(text, "utf16le")]));
    for (let length = 0; length < whole.length; length++)
      expect(readUserComment(whole.subarray(0, length))).toBeUndefined();
  });
});

it.each(["jpeg", "webp"] as const)(
  "texts beyond what a %s file can hold are refused, not dropped",
  async (format) => {
    const texts = { parameters: `${"a".repeat(40_000)}\n${last}`, record };
    await expect(encodePicture(picture, format, { texts })).rejects.toThrow(
      /^metadata: must each fit in the 64 kB/,
    );
  },
);

it("a JPEG's record may have 20 kB, as much as its prompts may need", async () => {
  const texts = { parameters: last, record: JSON.stringify({ prompt: "a".repeat(20_000) }) };
  expect(await readTexts(await encodePicture(picture, "jpeg", { texts }))).toEqual(texts);
});

it.each([
  ["a missing file", "/nowhere/picture.png", /^picture: must be a picture that can be read, got .*ENOENT/],
  [
    "bytes of no picture",
    new Uint8Array([1, 2, 3]),
    /^picture: must be a picture that can be read, got 3 bytes/,
  ],
])("%s is refused", async (_, source, message) => {
  await expect(readTexts(source)).rejects.toThrow(message);
});

/** The last 8 bytes of a gzip stream are its CRC-32 and length, little-endian: RFC 1952. */
function crcByGzip(bytes: Buffer): number {
  return gzipSync(bytes).readUInt32LE(gzipSync(bytes).length - 8);
}
