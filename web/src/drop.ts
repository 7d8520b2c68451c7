/** @file Images dropped on the page: over the beginning they begin a generation, anywhere else their settings are read. */

import { signal } from "@preact/signals";
import { say } from "./messages.js";
import { readingOf } from "./read-settings.js";
import { startFrom, useSettings } from "./settings.js";

/** Whether a file is held over the page. */
export const dragging = signal(false);

/** For `dragover`, `dragleave` and `drop` alike: without the first, a browser would open the file. */
export function onDrop(event: DragEvent): void {
  if (!event.dataTransfer?.types.includes("Files")) return;
  event.preventDefault();
  dragging.value = event.type === "dragover";
  if (event.type !== "drop") return;
  const [file] = event.dataTransfer.files;
  const toStart = event.target instanceof Element && event.target.closest(".start") !== null;
  if (file) void (toStart ? beginWith(file) : readSettings(file));
}

export async function beginWith(file: File): Promise<void> {
  if (await startFrom(file)) return;
  say("error", `${file.name} is no image that this browser reads. Take a PNG, JPEG or WebP.`);
}

/** Fills the form from an image file, or offers to begin with it. */
export async function readSettings(file: File): Promise<void> {
  const reading = await readingOf(new Uint8Array(await file.arrayBuffer()));
  if ("problem" in reading) {
    const text = `${file.name} ${reading.problem}.`;
    say("error", text, { label: "Begin with it", act: () => beginWith(file) });
    return;
  }
  const { settings } = reading;
  const missing = useSettings(settings) ?? `The settings of ${file.name} were taken over.`;
  say("note", [missing, ...(settings.notes ?? [])].join(" "));
  if (settings.strength !== undefined)
    say("note", `${file.name} began with an image. Choose that one as well.`);
}
