/** @file Image files in a browser: sizes, thumbnails, base64, downloads. */

const thumbnailSide = 400;

/** As WebP or PNG, no side longer than 400 pixels. */
export async function thumbnailOf(file: Blob): Promise<Blob> {
  const bitmap = await createImageBitmap(file);
  const scale = Math.min(1, thumbnailSide / Math.max(bitmap.width, bitmap.height));
  if (scale === 1) return file;
  return resized(bitmap, scale).convertToBlob({ type: "image/webp", quality: 0.85 });
}

const maxInitImageSide = 2048;
const acceptedTypes = ["image/png", "image/jpeg", "image/webp"];

/** An init image as the server accepts it: PNG, JPEG or WebP, no side above 2048; undefined if it is not an image. */
export async function preparedImage(file: Blob): Promise<Blob | undefined> {
  const bitmap = await createImageBitmap(file).catch(() => undefined);
  if (!bitmap) return undefined;
  const scale = Math.min(1, maxInitImageSide / Math.max(bitmap.width, bitmap.height));
  if (scale === 1 && acceptedTypes.includes(file.type)) return file;
  return resized(bitmap, scale).convertToBlob({ type: "image/png" });
}

function resized(bitmap: ImageBitmap, scale: number): OffscreenCanvas {
  const [width, height] = [Math.round(bitmap.width * scale), Math.round(bitmap.height * scale)];
  const canvas = new OffscreenCanvas(width, height);
  const context = canvas.getContext("2d")!;
  context.imageSmoothingQuality = "high";
  context.drawImage(bitmap, 0, 0, width, height);
  return canvas;
}

/** Base64 without the prefix of a data URL. */
export function base64(file: Blob): Promise<string> {
  return new Promise((resolve, reject) => {
    const reader = new FileReader();
    reader.onload = () => resolve(String(reader.result).replace(/^data:[^,]*,/, ""));
    reader.onerror = () => reject(reader.error);
    reader.readAsDataURL(file);
  });
}

/** The size of an image file, after its EXIF rotation; undefined if it is not an image. */
export async function sizeOf(file: Blob): Promise<{ width: number; height: number } | undefined> {
  const bitmap = await createImageBitmap(file).catch(() => undefined);
  return bitmap && { width: bitmap.width, height: bitmap.height };
}

export function download(file: Blob, name: string): void {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(file);
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
}

/** "a red bicycle!" -> "a-red-bicycle-7.png" */
export function fileName(prompt: string, seed: string): string {
  const words = prompt
    .toLowerCase()
    .replace(/[^\p{L}\p{N}]+/gu, "-")
    .replace(/^-|-$/g, "");
  return `${[...words].slice(0, 60).join("") || "koala"}-${seed}.png`;
}

const urls = new WeakMap<Blob, string>();

/** An object URL for a blob, the same for every call; valid as long as the page. */
export function urlOf(blob: Blob): string {
  const known = urls.get(blob);
  if (known !== undefined) return known;
  const url = URL.createObjectURL(blob);
  urls.set(blob, url);
  return url;
}
