/** @file Text chunks of PNG files, also of those made to take long. */

import { deflateSync, gzipSync } from "node:zlib";
import sharp from "sharp";
import { describe, expect, it } from "vitest";
import { Generator } from "../../diffusion/random.js";
import { InvalidRequest } from "../../errors.js";
import { encodeImage, type ImageFormat } from "../codec.js";
import { inflated } from "./inflate.js";
import { type MetadataTexts, readTexts, roomProblem } from "./metadata.js";
import { maxAllTextBytes, maxTextBytes, pngTexts, withPngTexts } from "./png-texts.js";

const formats: readonly ImageFormat[] = ["png", "jpeg", "webp"];
const image = { width: 16, height: 8, data: Uint8Array.from({ length: 16 * 8 * 3 }, (_, i) => i % 251) };
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
    expect(await readTexts(await encodeImage(image, format, { texts }))).toEqual(texts);
  });

  it("says that a trained model made it, in XMP that names IPTC's term", async () => {
    const bytes = await encodeImage(image, format, { texts: { parameters: last, record } });
    const { xmp } = await sharp(bytes).metadata();
    expect(xmp?.toString()).toContain(
      "<Iptc4xmpExt:DigitalSourceType>http://cv.iptc.org/newscodes/digitalsourcetype/trainedAlgorithmicMedia</",
    );
  });

  it("has the same bytes each time, and its pixels do not depend on the texts", async () => {
    const encoded = () => encodeImage(image, format, { texts: { parameters: last, record } });
    expect(await encoded()).toEqual(await encoded());
    const pixels = async (bytes: Uint8Array) => sharp(bytes).raw().toBuffer();
    expect(await pixels(await encoded())).toEqual(await pixels(await encodeImage(image, format)));
  });

  it("without texts holds none, nor EXIF, nor XMP", async () => {
    const bytes = await encodeImage(image, format);
    expect(await readTexts(bytes)).toEqual({});
    expect(await sharp(bytes).metadata()).not.toHaveProperty("exif");
    expect(await sharp(bytes).metadata()).not.toHaveProperty("xmp");
  });

  it("cut or with wrong bytes anywhere is read, or refused as an image", { timeout: 60_000 }, async () => {
    const whole = await encodeImage(image, format, { texts: { parameters: last, record } });
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
    const png = await encodeImage(image, "png");
    expect(type(withPngTexts(png, { parameters: "grün" }))).toBe("tEXt");
    expect(withPngTexts(png, { parameters: "grün" })).toContain(0xfc);
    expect(type(withPngTexts(png, { parameters: "字" }))).toBe("iTXt");
  });

  it("hold XMP as iTXt, where XMP's part 3 wants it", async () => {
    const png = Buffer.from(await encodeImage(image, "png", { texts: { parameters: last, record } }));
    expect(png.toString("latin1")).toContain("iTXtXML:com.adobe.xmp\0\0\0\0\0<?xpacket");
  });

  it("pass the check of libpng's successor in sharp", async () => {
    const png = withPngTexts(await encodeImage(image, "png"), { one: "plain", two: "字" });
    const { comments } = await sharp(png).metadata();
    expect(comments).toEqual([
      { keyword: "one", text: "plain" },
      { keyword: "two", text: "字" },
    ]);
  });

  it("with a wrong check sum are passed over", async () => {
    const png = Buffer.from(withPngTexts(await encodeImage(image, "png"), { k: "first" }));
    expect((await pngTexts(png, new Set(["k"]))).get("k")).toBe("first");
    png[png.indexOf("first")] = 0x46;
    expect((await pngTexts(png, new Set(["k"]))).size).toBe(0);
  });

  it("that are compressed are read, and dropped where they would take more than a megabyte", async () => {
    const png = Buffer.from(await encodeImage(image, "png"));
    const text = async (given: string) =>
      (await pngTexts(withCompressed(png, [["k", deflateSync(given)]]), new Set(["k"]))).get("k");
    expect(await text("packed")).toBe("packed");
    expect(await text("a".repeat(maxTextBytes))).toHaveLength(maxTextBytes);
    expect(await text("a".repeat(maxTextBytes + 1))).toBeUndefined();
  });

  describe("of a file made to take long", () => {
    const packed = deflateSync("a".repeat(maxTextBytes - 1), { level: 9 });
    const counted = async (keywords: readonly string[], wanted: readonly string[], data = packed) => {
      const png = withCompressed(
        Buffer.from(await encodeImage(image, "png")),
        keywords.map((keyword) => [keyword, data] as const),
      );
      const asked: number[] = [];
      const texts = await pngTexts(png, new Set(wanted), async (bytes, most) => {
        asked.push(most);
        return inflated(bytes, most);
      });
      return { asked, texts };
    };
    const names = Array.from({ length: 256 }, (_, i) => `k${i}`);

    it("are not inflated under keywords that nobody wants", async () => {
      expect(await counted(names, ["parameters"])).toEqual({ asked: [], texts: new Map() });
    });

    it("are inflated once for each keyword", async () => {
      expect((await counted(Array(256).fill("k"), ["k"])).asked).toHaveLength(1);
    });

    it("end where all together are four megabytes, sound or not", async () => {
      const { asked, texts } = await counted(names, names);
      // The fourth finds a little less than a megabyte left.
      expect([texts.size, asked.length]).toEqual([3, 4]);
      expect([...texts.values()].reduce((sum, { length }) => sum + length, 0)).toBeLessThan(maxAllTextBytes);
      expect(asked.every((most) => most <= maxTextBytes)).toBe(true);
      // What is no zlib may have cost as much as it was allowed before it failed.
      const broken = await counted(
        names,
        names,
        Buffer.concat([packed.subarray(0, 900), Buffer.alloc(99, 255)]),
      );
      expect([broken.texts.size, broken.asked.filter((most) => most > 0).length]).toEqual([0, 4]);
    });
  });

  /** Chunks zTXt before the pixels: keyword, NUL, method 0, data. */
  function withCompressed(png: Buffer, texts: readonly (readonly [string, Buffer])[]): Buffer {
    const chunks = texts.map(([keyword, data]) => {
      const body = Buffer.concat([Buffer.from(`zTXt${keyword}\0\0`, "latin1"), data]);
      const chunk = Buffer.alloc(body.length + 8);
      chunk.writeUInt32BE(body.length - 4, 0);
      body.copy(chunk, 4);
      chunk.writeUInt32BE(crcByGzip(body), body.length + 4);
      return chunk;
    });
    return Buffer.concat([png.subarray(0, 33), ...chunks, png.subarray(33)]);
  }
});

describe.each([
  ["jpeg", 32_663, 59_486],
  ["webp", 32_764, 2 ** 20 - 514],
  ["png", 2 ** 20 - 100, 2 ** 20 - 100],
] as const)("a %s file", (format, letters, bytes) => {
  const texts = (parameters: number, length: number): MetadataTexts => ({
    parameters: "a".repeat(parameters),
    record: `"${"b".repeat(length - 2)}"`,
  });

  it("gives back the longest texts that are said to fit", async () => {
    for (const longest of [texts(letters, 9), texts(9, bytes), texts(letters, bytes)]) {
      expect(roomProblem(format, longest)).toBeUndefined();
      const read = await readTexts(await encodeImage(image, format, { texts: longest }));
      expect(read.parameters === longest.parameters && read.record === longest.record).toBe(true);
    }
  });

  it("is said to have no room for longer ones, and is not made without them", async () => {
    for (const longer of [texts(letters + 1, 9), texts(9, bytes + 1)]) {
      expect(roomProblem(format, longer)).toMatch(
        /^must fit into \d+ and \d+ bytes, .*, got \d+ and \d+ bytes\.$/,
      );
      await expect(encodeImage(image, format, { texts: longer })).rejects.toThrow(
        /^metadata: must fit into .* Save as PNG, or leave the metadata out\.$/,
      );
    }
  });
});

it.each([
  ["a missing file", "/nowhere/image.png", /^image: must be an image that can be read, got .*ENOENT/],
  ["bytes of no image", new Uint8Array([1, 2, 3]), /^image: must be an image that can be read, got 3 bytes/],
])("%s is refused", async (_, source, message) => {
  await expect(readTexts(source)).rejects.toThrow(message);
});

/** The last 8 bytes of a gzip stream are its CRC-32 and length, little-endian: RFC 1952. */
function crcByGzip(bytes: Buffer): number {
  return gzipSync(bytes).readUInt32LE(gzipSync(bytes).length - 8);
}
