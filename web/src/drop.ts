/** @file Pictures dropped on the page: over the beginning they begin a painting, anywhere else their settings are read. */

import { say } from "./messages.js";
import { settingsIn } from "./read-settings.js";
import { startFrom, useSettings } from "./settings.js";

/** For `dragover` and `drop` alike: without the first, a browser would open the file. */
export function onDrop(event: DragEvent): void {
  if (!event.dataTransfer?.types.includes("Files")) return;
  event.preventDefault();
  if (event.type !== "drop") return;
  const [file] = event.dataTransfer.files;
  const toStart = event.target instanceof Element && event.target.closest(".start") !== null;
  if (file) void (toStart ? begin(file) : read(file));
}

async function begin(file: File): Promise<void> {
  if (!(await startFrom(file))) say("error", `${file.name} is no picture that this browser reads.`);
}

/** Fills the form from a picture file, or offers to begin with it. */
export async function read(file: File): Promise<void> {
  const settings = settingsIn(new Uint8Array(await file.arrayBuffer()));
  if (settings) {
    say("note", useSettings(settings) ?? `The settings of ${file.name} were taken over.`);
    return;
  }
  const text = `${file.name} holds no settings: sites and messengers strip them, and only PNG files are read.`;
  say("error", text, { label: "Begin with it", act: () => begin(file) });
}
