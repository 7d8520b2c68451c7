/** @file Which images of the gallery are chosen, for what is done with many: compare, save as ZIP, delete. */

import { computed, signal } from "@preact/signals";
import { found, images } from "./gallery.js";

const ids = signal<ReadonlySet<string>>(new Set());
/** The image of the last choice: a choice with the Shift key goes from there. */
let anchor: string | undefined;

/** Chosen images that still exist, in the gallery's order. */
export const chosen = computed(() => images.value.filter(({ id }) => ids.value.has(id)));

export const isChosen = (id: string): boolean => ids.value.has(id);

export function toggleChosen(id: string): void {
  const changed = new Set(ids.value);
  if (!changed.delete(id)) changed.add(id);
  ids.value = changed;
  anchor = id;
}

/** Gives all images from the last choice to this one the state of that choice. */
export function chooseRange(id: string): void {
  const shown = found.value.map((image) => image.id);
  const from = anchor === undefined ? -1 : shown.indexOf(anchor);
  if (from === -1) {
    toggleChosen(id);
    return;
  }
  const to = shown.indexOf(id);
  const changed = new Set(ids.value);
  const add = changed.has(anchor!);
  for (const one of shown.slice(Math.min(from, to), Math.max(from, to) + 1))
    if (add) changed.add(one);
    else changed.delete(one);
  ids.value = changed;
}

/** Chooses all images that the search shows. */
export function chooseAll(): void {
  ids.value = new Set([...ids.value, ...found.value.map(({ id }) => id)]);
}

export function chooseNone(): void {
  ids.value = new Set();
  anchor = undefined;
}
