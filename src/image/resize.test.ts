/** @file Resizing against Pillow 13.0.0's `Image.resize`, bit for bit; by LANCZOS unless another filter is named. */

import { createHash } from "node:crypto";
import { describe, expect, it } from "vitest";
import { resizeImage } from "./resize.js";

/** Noise with full contrast, whose overshoots are clipped: byte i is the highest of i * 2654435761 in 32 bits. */
function noise(width: number, height: number) {
  const data = Uint8Array.from({ length: 3 * width * height }, (_, i) => Math.imul(i, 2654435761) >>> 24);
  return { width, height, data };
}

describe("resizing gives Pillow's bytes", () => {
  it.each([
    [
      "enlarging",
      [3, 2, 5, 4],
      "0 179 47 64 173 0 238 140 0 240 80 171 188 50 255 34 137 103 89 117 65 192 94 57 184 105 159 146 120 " +
        "225 112 81 175 121 43 156 132 34 133 109 137 145 90 212 156 172 39 231 146 0 226 86 0 192 53 162 133 " +
        "48 255 103",
    ],
    ["shrinking", [5, 4, 2, 2], "109 156 94 177 81 140 130 86 152 111 183 112"],
    [
      "columns first where the height shrinks by far the most",
      [4, 6, 7, 2],
      "102 94 90 112 119 100 126 151 124 121 147 158 127 111 161 160 86 130 182 75 106 111 152 137 115 131 " +
        "142 131 109 138 160 135 104 168 161 84 145 139 105 127 118 126",
    ],
    [
      "rows first elsewhere",
      [7, 2, 3, 5],
      "112 134 79 162 47 205 52 172 118 139 133 78 156 45 203 52 171 116 179 131 76 148 43 201 51 169 114 " +
        "218 128 73 140 41 199 50 166 112 245 127 72 134 39 197 50 165 110",
    ],
  ] as const)("%s", (_, [width, height, toWidth, toHeight], bytes) => {
    const { data } = resizeImage(noise(width, height), toWidth, toHeight);
    expect([...data].join(" ")).toBe(bytes);
  });

  it.each([
    [64, 48, 128, 96, "f5c439fc5af86081579fdb94ab5bdbb3"],
    [97, 61, 64, 40, "114aaa5c73027c3410756aabb83e26f6"],
    [300, 200, 256, 256, "a74354f80a85adcda50959a1095b99c0"],
    [61, 400, 40, 100, "492de9b10358f8b662b9a2ba90f30d2f"],
    [97, 61, 97, 60, "f1f8db4f3bb7065a639f40f58927d975"],
    [97, 61, 33, 61, "e148f12bfca234885f6d0abb390e8c1b"],
    [1, 50, 50, 1, "754eb99190eab6e243e931744fb77b1a"],
    [1000, 700, 96, 64, "b32c8ab290ac70961560c3360b24a333"],
  ])("from %i x %i to %i x %i", (width, height, toWidth, toHeight, hash) => {
    const resized = resizeImage(noise(width, height), toWidth, toHeight);
    expect(resized).toMatchObject({ width: toWidth, height: toHeight });
    expect(createHash("sha256").update(resized.data).digest("hex").slice(0, 32)).toBe(hash);
  });

  it.each([
    ["bicubic", 64, 48, 128, 96, "139c5192914cde7490f11a2f421c95f9"],
    ["bicubic", 300, 200, 256, 256, "ddee8afa393c8dc6b9a350ee072ed141"],
    ["bicubic", 61, 400, 40, 100, "bab8435f3be8ac117bca0a1087e40915"],
    ["bilinear", 97, 61, 64, 40, "d6a98d64ff1f0aacee1f178f469f504c"],
    ["bilinear", 61, 400, 40, 100, "9a5aa140ba19544bd23aa9696517c5c5"],
  ] as const)("by %s, from %i x %i to %i x %i", (filter, width, height, toWidth, toHeight, hash) => {
    const { data } = resizeImage(noise(width, height), toWidth, toHeight, filter);
    expect(createHash("sha256").update(data).digest("hex").slice(0, 32)).toBe(hash);
  });

  it("at its own size it is the same image", () => {
    const image = noise(5, 3);
    expect(resizeImage(image, 5, 3)).toBe(image);
  });

  it("a size that is none is refused by name", () => {
    expect(() => resizeImage(noise(5, 3), 0, 3)).toThrow("width: must be a whole number above 0, got 0.");
    expect(() => resizeImage(noise(5, 3), 5, 2.5)).toThrow("height: must be a whole number above 0");
  });
});
