/** @file The warning of an image size at which a model gives no usable image. Must not import Node. */

type ImageSize = { readonly width: number; readonly height: number };

/**
 * The warning of a side more than twice as long as the model's, in pixels; undefined for smaller ones. There, U-Nets
 * repeat what is in the image, or leave it empty (He et al., arXiv 2310.07702, section 1).
 */
export function sizeWarning({ width, height }: ImageSize, trained: ImageSize): string | undefined {
  if (width <= 2 * trained.width && height <= 2 * trained.height) return undefined;
  const model = `${trained.width} x ${trained.height}`;
  return `size: ${width} x ${height} is far above the ${model} that this model was trained at; the image may be empty or repeat itself`;
}
