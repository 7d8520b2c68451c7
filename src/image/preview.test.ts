/** @file The linear preview of latents, against values worked out by hand. */
import { expect, it } from "vitest";
import { EngineError, ShapeError } from "../errors.js";
import { greyLatentRgb, knownLatentRgb, previewLatents, shrinkLatents } from "./preview.js";

const { sdxl, sd } = knownLatentRgb;

it("shows zero latents as middle grey", () => {
  const { width, height, data } = previewLatents(new Float32Array(4 * 2 * 3), {
    h: 2,
    w: 3,
    latentRgb: sdxl,
  });
  expect([width, height]).toEqual([3, 2]);
  // 255 / 2 lies between two bytes; the even one is taken.
  expect([...data]).toEqual(Array(18).fill(128));
});

it("maps each channel by its own row, pixel by pixel", () => {
  // Channel 0 is 1 in the left pixel, channel 3 is 1 in the right one.
  const latents = new Float32Array([1, 0, 0, 0, 0, 0, 0, 1]);
  const byte = (x: number) => Math.round((x / 2 + 0.5) * 255);
  expect([...previewLatents(latents, { h: 1, w: 2, latentRgb: sdxl }).data]).toEqual(
    [0.3816, 0.493, 0.532, -0.435, -0.2644, -0.4289].map(byte),
  );
  expect([...previewLatents(latents, { h: 1, w: 2, latentRgb: sd }).data]).toEqual(
    [0.3444, 0.1385, 0.067, -0.1307, -0.1874, -0.7445].map(byte),
  );
});

it("adds the constant, for any number of channels", () => {
  const latentRgb = { factors: [[1, 0, 0] as const, [0, 0.5, 0] as const], bias: [0, 0.25, -1] as const };
  const { data } = previewLatents(new Float32Array([0.2, 0.5]), { h: 1, w: 1, latentRgb });
  expect([...data]).toEqual([153, 191, 0]); // 0.2, 0.5, -1
});

it("shows latents that nobody has a fit of without colour", () => {
  const latents = new Float32Array([0.8, -0.8, 0.4, 0, 0.8, -0.4]);
  const { data } = previewLatents(latents, { h: 1, w: 2, latentRgb: greyLatentRgb(3) });
  expect([...data]).toEqual([213, 213, 213, 76, 76, 76]); // 2/3 and -0.4
});

it("averages blocks of latents", () => {
  const latents = Float32Array.from({ length: 2 * 3 * 4 }, (_, i) => i);
  const small = shrinkLatents(latents, { channels: 2, h: 3, w: 4, by: 2 });
  expect(small).toEqual({ latents: new Float32Array([2.5, 4.5, 14.5, 16.5]), h: 1, w: 2 });
});

it("refuses latents of another shape, and latents that are not finite", () => {
  expect(() => previewLatents(new Float32Array(4), { h: 2, w: 2, latentRgb: sd })).toThrow(ShapeError);
  const broken = new Float32Array(4).fill(Number.NaN);
  expect(() => previewLatents(broken, { h: 1, w: 1, latentRgb: sd })).toThrow(EngineError);
});
