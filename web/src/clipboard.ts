/** @file Copies images and texts to the clipboard. */

import { showMessage } from "./messages.js";

/** Copies an image as PNG, without its metadata: browsers encode it anew. */
export async function copyImage(file: Blob): Promise<void> {
  // Absent on pages that came over http from another machine.
  if (typeof ClipboardItem === "undefined" || !navigator.clipboard?.write) {
    const rule = "Browsers copy images only on pages from this machine or over https.";
    showMessage("error", `${rule} Download the image instead.`);
    return;
  }
  try {
    await navigator.clipboard.write([new ClipboardItem({ "image/png": asPng(file) })]);
    showMessage("note", "Image copied.");
  } catch (error) {
    showMessage("error", `The image was not copied (${String(error)}). Download it instead.`);
  }
}

export async function copyText(text: string, what: string): Promise<void> {
  const copied = await navigator.clipboard
    ?.writeText(text)
    .then(() => true)
    .catch(() => false);
  if (copied || copyBySelection(text)) showMessage("note", `${what} copied.`);
  else showMessage("error", `${what} could not be copied: this browser does not let the page.`);
}

async function asPng(file: Blob): Promise<Blob> {
  if (file.type === "image/png") return file;
  const bitmap = await createImageBitmap(file);
  const canvas = new OffscreenCanvas(bitmap.width, bitmap.height);
  canvas.getContext("2d")!.drawImage(bitmap, 0, 0);
  return canvas.convertToBlob({ type: "image/png" });
}

/** The old way, which pages over http have as well. */
function copyBySelection(text: string): boolean {
  const focused = document.activeElement;
  const field = document.createElement("textarea");
  field.value = text;
  // Inside an open dialog: whatever is outside of it cannot be selected.
  (document.querySelector("dialog[open]") ?? document.body).append(field);
  field.select();
  const copied = document.execCommand("copy");
  field.remove();
  if (focused instanceof HTMLElement) focused.focus();
  return copied;
}
