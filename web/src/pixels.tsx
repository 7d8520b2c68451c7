/** @file Pixels of small images in a browser: reads those of a data: URL, and shows what was computed of them. */

import { useEffect, useRef, useState } from "preact/hooks";
import type { RgbImage } from "../../src/image/pixels.js";

async function pixelsOf(url: string): Promise<RgbImage> {
  const image = new Image();
  image.src = url;
  await image.decode();
  return drawnPixels(image, image.naturalWidth, image.naturalHeight);
}

/** Of an image file. */
export async function pixelsOfFile(file: Blob): Promise<RgbImage> {
  const bitmap = await createImageBitmap(file);
  return drawnPixels(bitmap, bitmap.width, bitmap.height);
}

function drawnPixels(image: CanvasImageSource, width: number, height: number): RgbImage {
  const context = new OffscreenCanvas(width, height).getContext("2d")!;
  context.drawImage(image, 0, 0);
  const { data: rgba } = context.getImageData(0, 0, width, height);
  const data = new Uint8Array(3 * width * height);
  for (let i = 0; i < width * height; i++) data.set(rgba.subarray(4 * i, 4 * i + 3), 3 * i);
  return { width, height, data };
}

/** The pixels of images by their URLs, once all are read. */
export function usePixels(urls: readonly string[]): readonly RgbImage[] | undefined {
  const [pixels, setPixels] = useState<readonly RgbImage[]>();
  const key = urls.join();
  useEffect(() => {
    let current = true;
    void Promise.all(urls.map(pixelsOf)).then((all) => current && setPixels(all));
    return () => void (current = false);
  }, [key]);
  return pixels;
}

/** As a canvas takes it. */
export function imageData({ width, height, data }: RgbImage): ImageData {
  const shown = new ImageData(width, height);
  for (let i = 0; i < width * height; i++)
    shown.data.set([data[3 * i]!, data[3 * i + 1]!, data[3 * i + 2]!, 255], 4 * i);
  return shown;
}

export function Pixels({ image, label }: { image: RgbImage; label: string }) {
  const canvas = useRef<HTMLCanvasElement>(null);
  const { width, height } = image;
  useEffect(() => canvas.current!.getContext("2d")!.putImageData(imageData(image), 0, 0), [image]);
  return <canvas ref={canvas} width={width} height={height} role="img" aria-label={label} />;
}
