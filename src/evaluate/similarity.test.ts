/** @file PSNR and SSIM against scikit-image 0.26.0. */

import { describe, expect, it } from "vitest";
import { psnr, ssim } from "./similarity.js";

const [width, height] = [40, 24];
const image = (byte: (i: number) => number) => ({
  ...{ width, height },
  data: Uint8Array.from({ length: 3 * width * height }, (_, i) => byte(i)),
});
const noise = (from: number) => image((i) => Math.imul(i + from, 2654435761) >>> 24);
const ramp = image((i) => Math.floor(Math.floor(i / 3) / 3) % 256);
const mixed = image((i) => Math.floor((ramp.data[i]! * 3) / 4) + Math.floor(noise(0).data[i]! / 4));

describe("two images have scikit-image's", () => {
  it.each([
    ["noise and other noise", noise(0), noise(7), -0.3135248918458706, 6.546858675419649],
    ["a ramp and the same with noise", ramp, mixed, 0.7039892611387017, 19.50377862626641],
    ["a ramp and noise", ramp, noise(0), 0.011488898610315707, 7.4244785136749405],
  ])("SSIM and PSNR: %s", (_, a, b, structural, peak) => {
    expect(ssim(a, b)).toBeCloseTo(structural, 10);
    expect(psnr(a, b)).toBeCloseTo(peak, 10);
  });
});

describe("an image and itself", () => {
  it("have an SSIM of 1 and an infinite PSNR", () => {
    expect(ssim(mixed, mixed)).toBeCloseTo(1, 12);
    expect(psnr(mixed, mixed)).toBe(Number.POSITIVE_INFINITY);
  });
});

describe("images that cannot be compared", () => {
  it("are refused with both sizes", () => {
    const small = { width: 8, height: 8, data: new Uint8Array(192) };
    expect(() => psnr(ramp, small)).toThrow("must be of one size to be compared, got 40 x 24 and 8 x 8.");
    expect(() => ssim(small, small)).toThrow("must have 11 pixels on each side, got 8 x 8.");
  });
});
