/**
 * @file Encoding and decoding in tiles that overlap and are blended: an image of any size takes the memory of a tile. The
 * image is not the one that is decoded whole, because the norms and the attention of a tile see the tile alone. Tiles
 * and blending are those of Diffusers 0.42 (`tiled_decode`, `_tiled_decode` and their counterparts). Imports no Node.
 */

import { InvalidRequest } from "../errors.js";

/** [channels, height, width] */
export type Planes = {
  readonly data: Float32Array;
  readonly channels: number;
  readonly height: number;
  readonly width: number;
};

/** Of an image, in pixels. */
type Size = { width: number; height: number };

/** How the tiles of an autoencoder overlap and are joined. */
export type Tiling = {
  /** Pixels of a tile's side if the request does not say. */
  readonly size: number;
  /** Of what a tile's side must be a multiple, in pixels, so that tiles and overlaps are whole latents. */
  readonly multiple: number;
  /** The smallest side in pixels. */
  readonly least: number;
  readonly join: keyof typeof joins;
};

/** `AutoencoderKL`: tiles of the config's `sample_size`, a quarter of which overlaps. `factor`: pixels per latent pixel. */
export function overlappingQuarter(sampleSize: number, factor: number): Tiling {
  const multiple = 4 * factor;
  // Of sizes that leave a fraction Diffusers makes images of another size than was asked for.
  const size = Math.max(multiple, sampleSize - (sampleSize % multiple));
  return { size, multiple, least: multiple, join: "blend" };
}

/** `AutoencoderTiny`: tiles of 512 pixels, an eighth of which overlaps. */
export const overlappingEighth = (factor: number): Tiling => ({
  size: 64 * factor,
  multiple: 8 * factor,
  least: 16 * factor, // Diffusers divides by the overlap less one latent
  join: "mask",
});

/** The side of a tile in pixels that a request means; undefined for none. InvalidRequest for one that cannot be. */
export function tileSize(tiling: Tiling, asked: boolean | number | undefined): number | undefined {
  if (asked === undefined || asked === false) return undefined;
  if (asked === true) return tiling.size;
  const { multiple, least } = tiling;
  if (Number.isInteger(asked) && asked >= least && asked % multiple === 0) return asked;
  const below = Math.max(least, Math.floor(asked / multiple) * multiple);
  const nearest = Number.isFinite(asked) ? ` Nearest: ${below} or ${below + multiple}.` : "";
  const rule = `must be true, false or a tile's pixels, a multiple of ${multiple} from ${least}, got ${asked}.`;
  throw new InvalidRequest("vaeTiling", asked, rule + nearest);
}

/** Whether an image is cut at all; the masks of `AutoencoderTiny` join what fits into one tile from two. */
export function isCut({ join }: Tiling, tile: number, image: Size): boolean {
  const most = join === "mask" ? tile * (1 - joins.mask.overlap) : tile;
  return image.width > most || image.height > most;
}

/** Tiles that an image of this size could be cut into to take less memory, in pixels, the largest first. */
export const smallerTiles = (tiling: Tiling, image: Size): number[] =>
  [...new Set([tiling.size, 1024, 768, 512, 384, 256])]
    .filter((tile) => tile <= tiling.size && tile % tiling.multiple === 0 && isCut(tiling, tile, image))
    .sort((a, b) => b - a);

/** That tiles were taken without having been asked for. */
export const tiledWarning = ({ width, height }: Size, tile: number): string =>
  `vaeTiling: decoding ${width} x ${height} at once would not fit into memory, so it is decoded in tiles of ${tile} pixels, ` +
  "which are blended: colours may differ a little between them";

/** That tiles were asked for without effect. */
export const uncutWarning = ({ width, height }: Size, tile: number): string =>
  `vaeTiling: has no effect, because ${width} x ${height} is not larger than a tile of ${tile} pixels. Give a smaller ` +
  "tile, such as 512, to save memory";

/**
 * Runs one direction of an autoencoder tile by tile, or at once without a `tile` (pixels) or where nothing is cut.
 * `scale`: pixels per latent pixel to decode, its inverse to encode.
 */
export async function inTiles(
  whole: Planes,
  { tiling, tile, scale }: { tiling: Tiling; tile: number | undefined; scale: number },
  run: (tile: Planes) => Promise<Planes>,
): Promise<Planes> {
  const factor = Math.max(1, scale);
  const image = { height: whole.height * factor, width: whole.width * factor };
  if (tile === undefined || !isCut(tiling, tile, image)) return run(whole);
  const { overlap, place } = joins[tiling.join];
  const side = tile / factor;
  const [stride, outside] = [side - Math.floor(side * overlap), side * scale];
  let result: Planes | undefined;
  let above: Planes[] = [];
  for (let top = 0; top < whole.height; top += stride) {
    const row: Planes[] = [];
    for (let left = 0; left < whole.width; left += stride) {
      const tile = await run(cut(whole, top, left, side));
      result ??= blank(tile.channels, whole.height * scale, whole.width * scale);
      const [at, extent] = [{ top: top * scale, left: left * scale }, (side - stride) * scale];
      place(result, tile, { ...at, above: above[row.length], before: row.at(-1), extent, side: outside });
      row.push(tile);
    }
    above = row;
  }
  return result!;
}

/** Where a tile's result belongs, the tiles beside it, and by how much they overlap. */
type Place = {
  top: number;
  left: number;
  above: Planes | undefined;
  before: Planes | undefined;
  extent: number;
  side: number;
};

const joins = {
  /** `AutoencoderKL`: each tile's first rows and columns pass from the tile before to its own; what the next will have is left out. */
  blend: {
    overlap: 0.25,
    place: (result: Planes, tile: Planes, { top, left, above, before, extent, side }: Place) => {
      if (above) blendRows(above, tile, extent);
      if (before) blendColumns(before, tile, extent);
      const limit = side - extent;
      const { channels, height, width } = tile;
      paste(result, { top, left }, [channels, Math.min(height, limit), Math.min(width, limit)], tile);
    },
  },
  /** `AutoencoderTiny`: each tile is laid over what is there, ever more opaque over its first rows and columns. */
  mask: {
    overlap: 0.125,
    place: (result: Planes, tile: Planes, { top, left, extent }: Place) => {
      const rise = (at: number, first: boolean) => (first ? 1 : Math.min(1, at / (extent - 1)));
      const [rows, columns] = [
        Float32Array.from({ length: tile.height }, (_, y) => rise(y, top === 0)),
        Float32Array.from({ length: tile.width }, (_, x) => rise(x, left === 0)),
      ];
      const opacity = (y: number, x: number) => Math.fround(rows[y]! * columns[x]!);
      paste(result, { top, left }, [tile.channels, tile.height, tile.width], tile, opacity);
    },
  },
} as const;

/** Diffusers' `blend_v`, in place. */
function blendRows(above: Planes, tile: Planes, most: number): void {
  const extent = Math.min(above.height, tile.height, most);
  for (let c = 0; c < tile.channels; c++) {
    for (let y = 0; y < extent; y++) {
      const share = y / extent;
      const from = (c * above.height + above.height - extent + y) * above.width;
      const to = (c * tile.height + y) * tile.width;
      for (let x = 0; x < tile.width; x++)
        tile.data[to + x] = above.data[from + x]! * (1 - share) + tile.data[to + x]! * share;
    }
  }
}

/** Diffusers' `blend_h`, in place. */
function blendColumns(before: Planes, tile: Planes, most: number): void {
  const extent = Math.min(before.width, tile.width, most);
  for (let row = 0; row < tile.channels * tile.height; row++) {
    const from = (row + 1) * before.width - extent;
    const to = row * tile.width;
    for (let x = 0; x < extent; x++) {
      const share = x / extent;
      tile.data[to + x] = before.data[from + x]! * (1 - share) + tile.data[to + x]! * share;
    }
  }
}

const blank = (channels: number, height: number, width: number): Planes => ({
  ...{ data: new Float32Array(channels * height * width), channels, height, width },
});

/** The square of `side` at a corner, smaller at the right and the bottom edge. */
function cut({ data, channels, height, width }: Planes, top: number, left: number, side: number): Planes {
  const tile = blank(channels, Math.min(side, height - top), Math.min(side, width - left));
  for (let row = 0; row < channels * tile.height; row++) {
    const [c, y] = [Math.floor(row / tile.height), row % tile.height];
    const from = (c * height + top + y) * width + left;
    tile.data.set(data.subarray(from, from + tile.width), row * tile.width);
  }
  return tile;
}

/** Writes the first [channels, height, width] of a tile to its place, mixed with what is there where it is not opaque. */
function paste(
  result: Planes,
  { top, left }: { top: number; left: number },
  [channels, height, width]: readonly [number, number, number],
  tile: Planes,
  opacity?: (y: number, x: number) => number,
): void {
  for (let c = 0; c < channels; c++) {
    for (let y = 0; y < height; y++) {
      const to = (c * result.height + top + y) * result.width + left;
      const from = (c * tile.height + y) * tile.width;
      if (!opacity) result.data.set(tile.data.subarray(from, from + width), to);
      else
        for (let x = 0; x < width; x++) {
          const share = opacity(y, x);
          result.data[to + x] = share * tile.data[from + x]! + (1 - share) * result.data[to + x]!;
        }
    }
  }
}
