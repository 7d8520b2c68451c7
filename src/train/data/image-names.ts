/** @file Which file names are images. */

// bmp, heic and heif are listed although sharp may lack their decoder: they are then skipped by name.
const extensions = /\.(jpe?g|png|webp|gif|tiff?|avif|bmp|heic|heif)$/i;

/** Whether a file's name ends as an image's does. */
export function isImageName(name: string): boolean {
  return extensions.test(name);
}
