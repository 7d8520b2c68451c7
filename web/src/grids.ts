/** @file State of the grid view: the axes as entered, and the generated cells, stored so that a grid can be continued. */

import { signal } from "@preact/signals";
import { type Axes, axisOf, cellSettings, cellsOf, checkAxes } from "../../src/grid/axes.js";
import type { AxisKind } from "../../src/grid/values.js";
import { GenerationCancelled, GenerationFailure } from "./backend.js";
import { backend } from "./chosen-backend.js";
import type { SavedGrid } from "./database.js";
import { database } from "./gallery.js";
import { showMessage } from "./messages.js";
import { reveal } from "./reveal.js";
import { drawSeed, prompt, requestNow } from "./settings.js";

export const xKind = signal<AxisKind>("seed");
export const yKind = signal<AxisKind | "none">("guidanceScale");
export const xText = signal("1, 2, 3");
export const yText = signal("1, 3.5, 7");

/** The grid that is shown: the latest one, running or finished. */
export const grid = signal<SavedGrid | undefined>(undefined);
export const gridRunning = signal(false);
/** Whether the means of rows and columns are shown. */
export const averages = signal(false);
/** By index of the cell. */
export const cellPreviews = signal<Readonly<Record<number, string>>>({});
export const gridProblem = signal<{ message: string; field: string | undefined } | undefined>(undefined);

let controller: AbortController | undefined;

export async function openLatestGrid(): Promise<void> {
  const all = await (await database()).getAllFromIndex("grids", "createdAt").catch(() => []);
  grid.value = all.at(-1);
}

/** The axes of the form. Throws an InvalidRequest. */
export function axesNow(): Axes {
  const x = axisOf("x", xKind.value, xText.value);
  if (yKind.value === "none") return { x };
  return { x, y: axisOf("y", yKind.value, yText.value) };
}

/** Generates the grid that the form describes. */
export async function generateGrid(): Promise<void> {
  gridProblem.value = undefined;
  if (prompt.value.trim() === "") {
    gridProblem.value = { message: "Describe the image first. A few words are enough.", field: "prompt" };
    document.getElementById("prompt")?.focus();
    return;
  }
  try {
    const axes = axesNow();
    const base = { ...(await requestNow()), count: 1 };
    checkAxes(axes, base);
    const cells = cellsOf(axes).map(() => null);
    reveal(".grid-view");
    const createdAt = Date.now();
    // Not randomUUID: browsers offer it only to pages from https or this machine.
    await continueGrid({ id: `${createdAt}-${drawSeed()}`, createdAt, base, axes, cells });
  } catch (error) {
    gridProblem.value = problemOf(error);
  }
}

/** Generates the missing cells, two at a time, so that the server always has the next one. */
export async function continueGrid(started: SavedGrid): Promise<void> {
  grid.value = started;
  gridProblem.value = undefined;
  gridRunning.value = true;
  controller = new AbortController();
  const { signal: stop } = controller;
  const missing = [...started.cells.keys()].filter((i) => started.cells[i] === null);
  const work = async () => {
    for (let i = missing.shift(); i !== undefined && !stop.aborted; i = missing.shift())
      await generateCell(i, stop);
  };
  const ended = await Promise.allSettled([work(), work()].map((half) => half.catch(stopBoth)));
  const failed = ended.find((half) => half.status === "rejected");
  if (failed && !(failed.reason instanceof GenerationCancelled)) gridProblem.value = problemOf(failed.reason);
  cellPreviews.value = {};
  gridRunning.value = false;
}

export const stopGrid = (): void => controller?.abort();

function stopBoth(error: unknown): never {
  controller?.abort();
  throw error;
}

async function generateCell(index: number, stop: AbortSignal): Promise<void> {
  const { base, axes, cells, id } = grid.value!;
  const request = cellSettings(base, axes, cellsOf(axes)[index]!);
  let settings: NonNullable<(typeof cells)[number]>["settings"] | undefined;
  for await (const event of backend.generate(request, stop)) {
    if (event.type === "accepted") settings = event.settings;
    if (event.type === "preview") cellPreviews.value = { ...cellPreviews.value, [index]: event.url };
    if (event.type !== "image" || grid.value?.id !== id) continue;
    const { file, warnings } = event.image;
    const generated = { file, settings: settings!, ...(warnings.length > 0 && { warnings }) };
    grid.value = {
      ...grid.value,
      cells: grid.value.cells.map((cell, i) => (i === index ? generated : cell)),
    };
    await (await database()).put("grids", grid.value).catch(() => {});
  }
}

/** Deletes the grid that is shown; the message offers an undo. */
export async function removeGrid(): Promise<void> {
  stopGrid();
  const removed = grid.value;
  if (!removed) return;
  await (await database()).delete("grids", removed.id);
  await openLatestGrid();
  const undo = async () => {
    await (await database()).put("grids", removed);
    grid.value = removed;
  };
  showMessage("note", "Grid deleted.", { label: "Undo", act: undo });
}

function problemOf(error: unknown): { message: string; field: string | undefined } {
  if (error instanceof GenerationFailure) return { message: error.message, field: error.field };
  const field = error instanceof Error && "field" in error ? String(error.field) : undefined;
  return { message: error instanceof Error ? error.message : String(error), field };
}
