/** @file Tiles: that they cover an image of any size, what their blending is in closed form, and which sizes are refused. */

import { describe, expect, it } from "vitest";
import { InvalidRequest } from "../errors.js";
import {
  inTiles,
  isCut,
  overlappingEighth,
  overlappingQuarter,
  type Planes,
  smallerTiles,
  tileSize,
} from "./vae-tiling.js";

const quarter = overlappingQuarter(64, 8);
const eighth = overlappingEighth(8);
const ramp = (channels: number, height: number, width: number): Planes => ({
  ...{ channels, height, width },
  data: Float32Array.from({ length: channels * height * width }, (_, i) => Math.sin(i)),
});

/** A network that repeats each latent pixel `by` times. */
const enlarge =
  (by: number) =>
  async ({ data, channels, height, width }: Planes): Promise<Planes> => {
    const enlarged = { channels, height: height * by, width: width * by };
    const value = (i: number) => {
      const [x, row] = [i % enlarged.width, Math.floor(i / enlarged.width)];
      const [y, c] = [row % enlarged.height, Math.floor(row / enlarged.height)];
      return data[(c * height + Math.floor(y / by)) * width + Math.floor(x / by)]!;
    };
    const length = channels * enlarged.height * enlarged.width;
    return { ...enlarged, data: Float32Array.from({ length }, (_, i) => value(i)) };
  };

/** A network that gives a number, another for each tile: 0, 1, 2, ... */
const counting = () => {
  let n = 0;
  return async ({ height, width }: Planes): Promise<Planes> => ({
    ...{ channels: 1, height, width },
    data: new Float32Array(height * width).fill(n++),
  });
};

describe("tiles", () => {
  it.each([
    ["AutoencoderKL", quarter, 64, 11, 17],
    ["AutoencoderKL", quarter, 32, 9, 13],
    ["AutoencoderKL", quarter, 64, 25, 3],
    ["AutoencoderTiny", eighth, 128, 17, 30],
    ["AutoencoderTiny", eighth, 128, 15, 2],
  ])("of %s give back an image whose pixels do not depend on the tile", async (_, tiling, tile, h, w) => {
    const whole = ramp(2, h, w);
    const joined = await inTiles(whole, { tiling, tile, scale: 8 }, enlarge(8));
    const wanted = await enlarge(8)(whole);
    expect({ ...joined, data: undefined }).toEqual({ ...wanted, data: undefined });
    const apart = joined.data.map((v, i) => Math.abs(v - wanted.data[i]!));
    expect(Math.max(...apart)).toBeLessThan(2e-7);
  });

  it("of AutoencoderKL pass linearly from one to the next over a quarter of their side", async () => {
    const tiling = overlappingQuarter(16, 1);
    const { data } = await inTiles(ramp(1, 1, 28), { tiling, tile: 16, scale: 1 }, counting());
    const rise = [0, 0.25, 0.5, 0.75]; // columns 12 to 15
    expect([...data.subarray(0, 24)]).toEqual([...Array(12).fill(0), ...rise, ...Array(8).fill(1)]);
  });

  it("of AutoencoderTiny do so over an eighth, whose last column is the next tile's already", async () => {
    const tiling = overlappingEighth(1);
    const { data } = await inTiles(ramp(1, 1, 40), { tiling, tile: 24, scale: 1 }, counting());
    expect([...data.subarray(20, 25)]).toEqual([0, 0, 0.5, 1, 1]); // the second begins at column 21
  });

  it("are not cut of an image that fits into one", async () => {
    let runs = 0;
    const once = async (tile: Planes) => {
      runs++;
      return tile;
    };
    await inTiles(ramp(1, 64, 64), { tiling: overlappingQuarter(64, 1), tile: 64, scale: 1 }, once);
    expect(runs).toBe(1);
    expect(isCut(quarter, 64, { width: 64, height: 64 })).toBe(false);
    expect(isCut(quarter, 64, { width: 64, height: 72 })).toBe(true);
    // Diffusers cuts these as soon as a second tile would begin inside the image.
    expect(isCut(eighth, 512, { width: 448, height: 448 })).toBe(false);
    expect(isCut(eighth, 512, { width: 456, height: 8 })).toBe(true);
  });
});

describe("a tile's size", () => {
  it("is the autoencoder's own, or what is asked for", () => {
    expect(tileSize(overlappingQuarter(1024, 8), true)).toBe(1024);
    expect(tileSize(eighth, true)).toBe(512);
    expect(tileSize(quarter, 96)).toBe(96);
    expect(tileSize(quarter, false)).toBeUndefined();
    expect(tileSize(quarter, undefined)).toBeUndefined();
  });

  it("is rounded down where Diffusers would make an image of another size", () => {
    expect(overlappingQuarter(100, 8).size).toBe(96);
    expect(overlappingQuarter(20, 8).size).toBe(32);
  });

  it("that leaves a part of a latent is refused with the nearest", () => {
    expect(() => tileSize(quarter, 500)).toThrow(
      "vaeTiling: must be true, false or a tile's pixels, a multiple of 32 from 32, got 500. Nearest: 480 or 512.",
    );
    expect(() => tileSize(eighth, 64)).toThrow(/a multiple of 64 from 128, got 64. Nearest: 128 or 192/);
    expect(() => tileSize(quarter, Number.NaN)).toThrow(InvalidRequest);
  });

  it("is taken from those below the autoencoder's own where nothing else fits", () => {
    const image = { width: 1024, height: 768 };
    expect(smallerTiles(overlappingQuarter(1024, 8), image)).toEqual([768, 512, 384, 256]);
    expect(smallerTiles(eighth, image)).toEqual([512, 384, 256]);
    expect(smallerTiles(quarter, { width: 64, height: 64 })).toEqual([]);
  });
});
