/** @file The linear preview of latents, against values worked out by hand. */
import { expect, it } from "vitest";
import { EngineError, ShapeError } from "../errors.js";
import { previewLatents } from "./preview.js";

it("shows zero latents as middle grey", () => {
  const { width, height, data } = previewLatents(new Float32Array(4 * 2 * 3), { h: 2, w: 3, kind: "sdxl" });
  expect([width, height]).toEqual([3, 2]);
  // 255 / 2 lies between two bytes; the even one is taken.
  expect([...data]).toEqual(Array(18).fill(128));
});

it("maps each channel by its own row, pixel by pixel", () => {
  // Channel 0 is 1 in the left pixel, channel 3 is 1 in the right one.
  const latents = new Float32Array([1, 0, 0, 0, 0, 0, 0, 1]);
  const byte = (x: number) => Math.round((x / 2 + 0.5) * 255);
  expect([...previewLatents(latents, { h: 1, w: 2, kind: "sdxl" }).data]).toEqual(
    [0.3816, 0.493, 0.532, -0.435, -0.2644, -0.4289].map(byte),
  );
  expect([...previewLatents(latents, { h: 1, w: 2, kind: "sd" }).data]).toEqual(
    [0.3444, 0.1385, 0.067, -0.1307, -0.1874, -0.7445].map(byte),
  );
});

it("refuses latents of another shape, and latents that are not finite", () => {
  expect(() => previewLatents(new Float32Array(4), { h: 2, w: 2, kind: "sd" })).toThrow(ShapeError);
  const broken = new Float32Array(4).fill(Number.NaN);
  expect(() => previewLatents(broken, { h: 1, w: 1, kind: "sd" })).toThrow(EngineError);
});
