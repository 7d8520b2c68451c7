/**
 * @file An image as CLIP's vision tower takes it, as transformers' `CLIPImageProcessor` with Pillow makes it: resized,
 * cropped to the center, and normalised. The settings are those of `preprocessor_config.json`.
 */

import * as z from "zod/mini";
import { ModelError } from "../errors.js";
import type { RgbImage } from "../image/pixels.js";
import { type ResizeFilter, resizeImage } from "../image/resize.js";
import { ignored, only, parseConfig, positive, size } from "../models/config.js";

const flag = z._default(z.boolean("must be true or false"), true);
const channels = z.array(z.number("must be a number")).check(z.length(3, "must be a list of three numbers"));
/** Old files have one number: of the shorter side, and of both sides of the crop. */
const resized = z.union(
  [size, z.strictObject({ shortest_edge: size }), z.strictObject({ height: size, width: size })],
  'must be a whole number, {"shortest_edge"} or {"height", "width"}',
);
const cropped = z.union(
  [size, z.strictObject({ height: size, width: size })],
  'must be a whole number or {"height", "width"}',
);

/** Pillow's numbers of its filters. */
const resamples: Readonly<Record<number, ResizeFilter>> = { 1: "lanczos", 2: "bilinear", 3: "bicubic" };

/** The fields of transformers' `CLIPImageProcessor` with its defaults. */
const schema = z.object({
  do_resize: flag,
  size: z._default(resized, { shortest_edge: 224 }),
  resample: z._default(
    z.int().check(z.refine((n) => n in resamples, "must be 1 (Lanczos), 2 (bilinear) or 3 (bicubic)")),
    3,
  ),
  do_center_crop: flag,
  crop_size: z._default(cropped, 224),
  do_rescale: flag,
  rescale_factor: z._default(positive, 1 / 255),
  do_normalize: flag,
  image_mean: z._default(channels, [0.48145466, 0.4578275, 0.40821073]),
  image_std: z._default(channels, [0.26862954, 0.26130258, 0.27577711]),
  /** Images are RGB here. */
  do_convert_rgb: ignored,
  do_pad: only(false, null),
  image_processor_type: only("CLIPImageProcessor", "CLIPImageProcessorFast", "CLIPImageProcessorPil"),
  feature_extractor_type: only("CLIPFeatureExtractor", "CLIPImageProcessor"),
  processor_class: ignored,
  data_format: only("channels_first", null),
  input_data_format: ignored,
  default_to_square: ignored,
  device: ignored,
  disable_grouping: ignored,
  return_tensors: ignored,
});

export type ClipProcessor = z.output<typeof schema>;

/** Reads the parsed `preprocessor_config.json` of a tower for images of `imageSize`; ModelError. */
export function clipProcessor(json: object, file: string, imageSize: number): ClipProcessor {
  const processor = parseConfig(schema, json, file);
  const { do_resize, do_center_crop, size, crop_size } = processor;
  const fixed = do_center_crop ? cropSides(crop_size) : do_resize ? fixedSides(size) : undefined;
  if (fixed?.width !== imageSize || fixed.height !== imageSize) {
    const [field, got] = do_center_crop ? ["crop_size", crop_size] : ["size", size];
    const rule = `${field}: must make images of the model's image_size ${imageSize}`;
    throw new ModelError(file, `${rule}, got ${JSON.stringify(got)}.`);
  }
  return processor;
}

/** image -> [3, size, size] */
export function clipPixels(image: RgbImage, processor: ClipProcessor): Float32Array {
  const { do_rescale, rescale_factor, do_normalize, image_mean, image_std } = processor;
  const { width, height, data } = cutCenter(toSize(image, processor), processor);
  const area = width * height;
  const pixels = new Float32Array(3 * area);
  for (let c = 0; c < 3; c++) {
    // In float32 step by step, as NumPy.
    const [mean, deviation] = [Math.fround(image_mean[c]!), Math.fround(image_std[c]!)];
    for (let i = 0; i < area; i++) {
      const value = Math.fround(do_rescale ? data[3 * i + c]! * rescale_factor : data[3 * i + c]!);
      pixels[c * area + i] = do_normalize ? Math.fround(value - mean) / deviation : value;
    }
  }
  return pixels;
}

/** Both sides of a crop, or of a size that is not of the shorter side alone. */
const cropSides = (crop: ClipProcessor["crop_size"]) =>
  typeof crop === "number" ? { width: crop, height: crop } : crop;
const fixedSides = (size: ClipProcessor["size"]) =>
  typeof size === "object" && "height" in size ? size : undefined;

function toSize(image: RgbImage, { do_resize, size, resample }: ClipProcessor): RgbImage {
  if (!do_resize) return image;
  const filter = resamples[resample]!;
  if (typeof size === "object" && "height" in size)
    return resizeImage(image, size.width, size.height, filter);
  const shortest = typeof size === "number" ? size : size.shortest_edge;
  const { width, height } = image;
  const longest = Math.trunc((shortest * Math.max(width, height)) / Math.min(width, height));
  return width <= height
    ? resizeImage(image, shortest, longest, filter)
    : resizeImage(image, longest, shortest, filter);
}

/** The middle of an image; of an odd pixel too many the last is left out. */
function cutCenter(image: RgbImage, { do_center_crop, crop_size }: ClipProcessor): RgbImage {
  if (!do_center_crop) return image;
  const { width, height } = cropSides(crop_size);
  const left = Math.floor((image.width - width) / 2);
  const top = Math.floor((image.height - height) / 2);
  if (left < 0 || top < 0)
    throw new ModelError(
      "preprocessor_config.json",
      `crop_size: must be at most the image's size ${image.width} x ${image.height}, got ${width} x ${height}.`,
    );
  const data = new Uint8Array(3 * width * height);
  for (let y = 0; y < height; y++) {
    const from = 3 * ((top + y) * image.width + left);
    data.set(image.data.subarray(from, from + 3 * width), 3 * y * width);
  }
  return { width, height, data };
}
