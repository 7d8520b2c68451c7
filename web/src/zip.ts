/** @file Saves images as one ZIP file: the files as they were generated, with their metadata. */

import { signal } from "@preact/signals";
import { downloadZip } from "client-zip";
import type { SavedImage } from "./database.js";
import { filesOf } from "./gallery.js";
import { download, fileName } from "./images.js";
import { showMessage } from "./messages.js";
import { uniqueNames } from "./unique-names.js";

/** Whether a ZIP file is being made. */
export const zipping = signal(false);

export async function saveAsZip(images: readonly SavedImage[]): Promise<void> {
  zipping.value = true;
  try {
    const lost: SavedImage[] = [];
    const zip = await downloadZip(entriesOf(images, lost)).blob();
    if (lost.length > 0) {
      const what = lost.length === 1 ? "One image is" : `${lost.length} images are`;
      showMessage("error", `${what} not in the ZIP file: the browser no longer has the file.`);
    }
    if (lost.length < images.length) download(zip, `koala-${images.length - lost.length}-images.zip`);
  } catch (error) {
    showMessage("error", `The ZIP file could not be made (${String(error)}). Choose fewer images.`);
  } finally {
    zipping.value = false;
  }
}

/** One file after the other, so that only one is read at a time. */
async function* entriesOf(images: readonly SavedImage[], lost: SavedImage[]) {
  const names = uniqueNames(images.map(({ settings }) => fileName(settings.prompt, settings.seed)));
  for (const [i, image] of images.entries()) {
    const files = await filesOf(image.id);
    if (files) yield { name: names[i]!, input: files.file, lastModified: new Date(image.createdAt) };
    else lost.push(image);
  }
}
