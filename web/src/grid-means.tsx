/** @file The averages of a grid: of each row, of each column and of all, what their images have in common. */

import { useEffect, useState } from "preact/hooks";
import { MeanImage } from "../../src/image/mean-image.js";
import type { RgbImage } from "../../src/image/pixels.js";
import type { SavedGrid } from "./database.js";
import { Pixels, pixelsOfFile } from "./pixels.js";

/** The mean of some cells, and of how many. */
export type Mean = { image: RgbImage; images: number };

/** Undefined where no cell is done. Rows have means where there are columns to average, and the reverse. */
export type Means = {
  rows: readonly (Mean | undefined)[];
  columns: readonly (Mean | undefined)[];
  all: Mean | undefined;
};

const read = new WeakMap<Blob, Promise<RgbImage>>();

function pixels(file: Blob): Promise<RgbImage> {
  const known = read.get(file) ?? pixelsOfFile(file);
  read.set(file, known);
  return known;
}

export async function meansOf({ axes, cells }: SavedGrid): Promise<Means> {
  const across = axes.x.values.length;
  const down = axes.y?.values.length ?? 1;
  const images = await Promise.all(cells.map((cell) => cell && pixels(cell.file)));
  const of = (chosen: (row: number, column: number) => boolean): Mean | undefined => {
    const mean = new MeanImage();
    const own = images.filter((image, i) => image && chosen(Math.floor(i / across), i % across));
    for (const image of own) mean.add(image!);
    const image = mean.mean();
    return image && { image, images: own.length };
  };
  return {
    rows: across > 1 ? Array.from({ length: down }, (_, r) => of((row) => row === r)) : [],
    columns: down > 1 ? Array.from({ length: across }, (_, c) => of((_, column) => column === c)) : [],
    all: across > 1 && down > 1 ? of(() => true) : undefined,
  };
}

/** The averages of the cells that are done, once they are computed; undefined where they are not shown. */
export function useMeans(shown: SavedGrid, wanted: boolean): Means | undefined {
  const [means, setMeans] = useState<Means>();
  const { cells } = shown;
  useEffect(() => {
    let current = true;
    if (wanted) void meansOf(shown).then((found) => current && setMeans(found));
    else setMeans(undefined);
    return () => void (current = false);
  }, [cells, wanted]);
  return wanted ? means : undefined;
}

export function MeanCell({ mean, label }: { mean: Mean | undefined; label: string }) {
  if (!mean) return <td />;
  const name = `Mean of ${mean.images} ${mean.images === 1 ? "image" : "images"}: ${label}`;
  return (
    <td class="mean">
      <Pixels image={mean.image} label={name} />
    </td>
  );
}
