/** @file Which of the views is shown, single images, a grid or the tour, and the action of its Generate button. */

import { signal } from "@preact/signals";
import { generateGrid, gridRunning } from "./grids.js";
import { generateNow } from "./tasks.js";
import { runTour } from "./tour.js";

const views = ["generate", "grid", "tour"] as const;
export type View = (typeof views)[number];

const viewOfHash = (): View => views.find((name) => location.hash === `#${name}`) ?? "generate";

export const view = signal<View>(viewOfHash());

export function updateView(): void {
  view.value = viewOfHash();
}

/** Generates images, a grid or the tour, as the view says. A grid that is running is left to finish. */
export function generate(): void {
  if (view.value === "generate") void generateNow();
  else if (view.value === "tour") void runTour();
  else if (!gridRunning.value) void generateGrid();
}
