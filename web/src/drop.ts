/** @file Image files dropped on the page: on the image-to-image fields they become the init image, elsewhere their settings are read. */

import { signal } from "@preact/signals";
import { showMessage } from "./messages.js";
import { readImageSettings } from "./read-settings.js";
import { applySettings, setInitImage } from "./settings.js";

/** Whether a file is held over the page. */
export const dragging = signal(false);

/** For `dragover`, `dragleave` and `drop` alike: without the first, a browser would open the file. */
export function onDrop(event: DragEvent): void {
  if (!event.dataTransfer?.types.includes("Files")) return;
  event.preventDefault();
  dragging.value = event.type === "dragover";
  if (event.type !== "drop") return;
  const [file] = event.dataTransfer.files;
  const asInitImage = event.target instanceof Element && event.target.closest(".init-image") !== null;
  if (file) void (asInitImage ? chooseInitImage(file) : readSettings(file));
}

export async function chooseInitImage(file: File): Promise<void> {
  if (await setInitImage(file)) return;
  showMessage(
    "error",
    `${file.name} is not an image that this browser can read. Choose a PNG, JPEG or WebP file.`,
  );
}

/** Fills the form with the settings in an image file, or offers the image as init image. */
export async function readSettings(file: File): Promise<void> {
  const reading = await readImageSettings(new Uint8Array(await file.arrayBuffer()));
  if ("problem" in reading) {
    const text = `${file.name} ${reading.problem}.`;
    showMessage("error", text, { label: "Start from this image", act: () => chooseInitImage(file) });
    return;
  }
  const { settings } = reading;
  const missing = applySettings(settings) ?? `The settings of ${file.name} were applied.`;
  showMessage("note", [missing, ...(settings.notes ?? [])].join(" "));
  if (settings.strength !== undefined)
    showMessage(
      "note",
      `${file.name} was generated from another image. To repeat it, choose that image too.`,
    );
}
