/** @file Texts out of files that other programs wrote: testdata/README.md says which. */

import { readFile } from "node:fs/promises";
import { describe, expect, it } from "vitest";
import { Generator } from "../../diffusion/random.js";
import { fileTexts } from "./file-texts.js";
import { readFileTexts } from "./metadata.js";

const place = (name: string) => new URL(`testdata/${name}`, import.meta.url).pathname;
const bytesOf = async (name: string) => new Uint8Array(await readFile(place(name)));
const parameters =
  "a cat\nNegative prompt: ugly, bad\nSteps: 3, Sampler: Euler a, CFG scale: 7, Seed: 1234567890123, Size: 64x64";

describe("the text in", () => {
  it.each([
    ["compressed.png", "parameters"],
    ["exif.png", "UserComment"],
    ["unicode-le.jpg", "UserComment"],
    ["unicode-be.jpg", "UserComment"],
    ["undefined.jpg", "UserComment"],
    ["xpcomment.jpg", "XPComment"],
    ["comment.jpg", "Comment"],
  ])("%s that Pillow wrote is found as %s", async (file, name) => {
    expect((await fileTexts(await bytesOf(file)))?.get(name)).toBe(parameters);
  });

  it("exif.avif is found by sharp, which alone opens it", async () => {
    expect(await fileTexts(await bytesOf("exif.avif"))).toBeUndefined();
    expect((await readFileTexts(place("exif.avif"))).get("UserComment")).toBe(parameters);
  });

  it("a JPEG without EXIF's code begins with its first letter, in either directory", async () => {
    for (const file of ["no-charset.jpg", "fooocus-ifd0.jpg"])
      expect((await fileTexts(await bytesOf(file)))?.get("UserComment")).toMatch(
        /^a cat\nNegative prompt: ugly/,
      );
  });

  it("ComfyUI's WebP is in the tags of cameras", async () => {
    const texts = await fileTexts(await bytesOf("comfyui.webp"));
    expect(texts?.get("Model")).toMatch(/^prompt:\{"3": /);
    expect(texts?.get("Make")).toMatch(/^workflow:\{"nodes": /);
  });

  it("an XMP packet is unescaped, as Draw Things' comment has to be", async () => {
    const packet =
      '<x:xmpmeta><rdf:Description><exif:UserComment><rdf:Alt><rdf:li xml:lang="x-default">{"c":"a &lt;cat&gt; &amp; &#x6F22;&#23383;"}</rdf:li></rdf:Alt></exif:UserComment></rdf:Description></x:xmpmeta>';
    const xmp = Buffer.from(`http://ns.adobe.com/xap/1.0/\0${packet}`);
    const segment = Buffer.from([0xff, 0xe1, (xmp.length + 2) >> 8, (xmp.length + 2) & 255, ...xmp]);
    const jpeg = Buffer.concat([Buffer.from([0xff, 0xd8, 0xff]), segment, Buffer.from([0xff, 0xda, 0, 2])]);
    expect((await fileTexts(jpeg))?.get("UserComment")).toBe('{"c":"a <cat> & 漢字"}');
  });
});

it.each(["compressed.png", "exif.png", "unicode-le.jpg", "comfyui.webp"])(
  "%s cut or with other bytes anywhere gives texts or none",
  async (file) => {
    const whole = await bytesOf(file);
    const random = new Generator(7);
    for (let round = 0; round < 500; round++) {
      const bytes = whole.slice(0, round % 3 ? whole.length : random.randint(1, { high: whole.length })[0]!);
      for (const at of random.randint(4, { high: bytes.length + 1 }))
        bytes[at] = random.randint(1, { high: 256 })[0]!;
      expect((await fileTexts(bytes)) ?? new Map()).toBeInstanceOf(Map);
    }
  },
);

it("bytes of no image have none", async () => {
  expect(await fileTexts(new TextEncoder().encode("no image"))).toBeUndefined();
});
