/** @file Which of the two views is shown, single images or a grid, and the action of its Generate button. */

import { signal } from "@preact/signals";
import { generateGrid, gridRunning } from "./grids.js";
import { generateNow } from "./tasks.js";

export type View = "generate" | "grid";

const viewOfHash = (): View => (location.hash === "#grid" ? "grid" : "generate");

export const view = signal<View>(viewOfHash());

export function updateView(): void {
  view.value = viewOfHash();
}

/** Generates images or a grid, as the view says. A grid that is running is left to finish. */
export function generate(): void {
  if (view.value === "generate") void generateNow();
  else if (!gridRunning.value) void generateGrid();
}
