/** @file State of the gallery: the generated images in IndexedDB, search, the selected image, and deletion with undo. */

import { computed, signal } from "@preact/signals";
import type { GenerationSettings } from "../../src/jobs/schemas.js";
import type { FinishedImage } from "./backend.js";
import { type Database, openDatabase, type SavedFiles, type SavedImage } from "./database.js";
import { thumbnailOf } from "./images.js";
import { showMessage } from "./messages.js";

/** Latest first. */
export const images = signal<readonly SavedImage[]>([]);
export const galleryReady = signal(false);
export const search = signal("");
export const selectedId = signal<string | undefined>(undefined);
export const selectedFiles = signal<SavedFiles | undefined>(undefined);
export const found = computed(() => {
  const words = search.value.toLowerCase().split(/\s+/).filter(Boolean);
  return images.value.filter((image) => {
    const text = searchText(image.settings);
    return words.every((word) => text.includes(word));
  });
});

export const selected = computed(() => images.value.find(({ id }) => id === selectedId.value));

const searchText = ({
  prompt,
  negativePrompt = "",
  model,
  scheduler,
  seed,
  ...rest
}: GenerationSettings): string =>
  [prompt, negativePrompt, model, scheduler, `seed ${seed}`, `${rest.width}x${rest.height}`]
    .join("\n")
    .toLowerCase();

let opened: Promise<Database> | undefined;
export const database = (): Promise<Database> => (opened ??= openDatabase());

export async function openGallery(): Promise<void> {
  try {
    const all = await (await database()).getAllFromIndex("images", "createdAt");
    images.value = all.reverse();
  } catch (error) {
    showMessage(
      "error",
      `The gallery cannot be opened (${reason(error)}). New images will be lost when this tab is closed: download them.`,
    );
  }
  galleryReady.value = true;
}

/**
 * Adds a finished image. If the browser cannot store it, it stays until the page is closed. A job that is followed again
 * after a reload yields its images again, with the same ids.
 */
export async function addToGallery(
  id: string,
  generated: FinishedImage,
  settings: GenerationSettings,
  initFiles: { image?: Blob; mask?: Blob } = {},
): Promise<void> {
  const { file, seed, width, height, warnings } = generated;
  if (images.value.some((image) => image.id === id)) return;
  const saved: SavedImage = {
    id,
    createdAt: Date.now(),
    settings: { ...settings, seed, count: 1 },
    width,
    height,
    thumbnail: await thumbnailOf(file),
    ...(warnings.length > 0 && { warnings }),
  };
  const files: SavedFiles = { id, file, ...initFiles };
  unsaved.set(id, files);
  images.value = [saved, ...images.value];
  await store(saved, files);
}

const unsaved = new Map<string, SavedFiles>();

async function store(image: SavedImage, files: SavedFiles): Promise<void> {
  try {
    const transaction = (await database()).transaction(["images", "files"], "readwrite");
    await Promise.all([
      transaction.objectStore("images").put(image),
      transaction.objectStore("files").put(files),
      transaction.done,
    ]);
    unsaved.delete(image.id);
    void requestPersistence();
  } catch (error) {
    showMessage(
      "error",
      `This image could not be stored (${reason(error)}). Download it, or delete other images first.`,
    );
  }
}

let persistenceRequested = false;

/**
 * Asks the browser, with the first image, not to clear the database when it runs short of space. Some browsers ask the
 * visitor; whatever the answer, the page works on.
 */
async function requestPersistence(): Promise<void> {
  const { storage } = navigator; // absent on pages from another machine by http
  if (persistenceRequested || !storage?.persist) return;
  persistenceRequested = true;
  await (async () => (await storage.persisted()) || storage.persist())().catch(() => false);
}

export async function filesOf(id: string): Promise<SavedFiles | undefined> {
  return unsaved.get(id) ?? (await database()).get("files", id);
}

/** Shows an image in the large view. */
export async function select(id: string | undefined): Promise<void> {
  selectedId.value = id;
  const files = id === undefined ? undefined : await filesOf(id);
  if (selectedId.value === id) selectedFiles.value = files;
}

/** Deletes images; the message offers an undo. */
export async function remove(ids: readonly string[]): Promise<void> {
  const removed = images.value.filter(({ id }) => ids.includes(id));
  const files = await Promise.all(removed.map(({ id }) => filesOf(id)));
  const following = nextOf(ids);
  images.value = images.value.filter(({ id }) => !ids.includes(id));
  if (ids.includes(selectedId.value ?? "")) await select(following);
  const transaction = (await database()).transaction(["images", "files"], "readwrite");
  for (const id of ids) {
    void transaction.objectStore("images").delete(id);
    void transaction.objectStore("files").delete(id);
  }
  await transaction.done;
  const undo = async () => {
    images.value = [...removed, ...images.value].sort((a, b) => b.createdAt - a.createdAt);
    for (const [i, image] of removed.entries()) if (files[i]) await store(image, files[i]);
  };
  const what = removed.length === 1 ? "Image deleted." : `${removed.length} images deleted.`;
  showMessage("note", what, { label: "Undo", act: undo });
}

/** The image to select after these are deleted. */
function nextOf(ids: readonly string[]): string | undefined {
  const shown = found.value;
  const at = shown.findIndex(({ id }) => ids.includes(id));
  return (shown[at + 1] ?? shown[at - 1])?.id;
}

/** Shows the image `by` places further in the gallery than the selected one. Returns whether there is one. */
export function selectNeighbour(by: number): boolean {
  const shown = found.value;
  const at = shown.findIndex(({ id }) => id === selectedId.value);
  const next = at === -1 ? undefined : shown[at + by];
  if (next) void select(next.id);
  return next !== undefined;
}

const reason = (error: unknown): string =>
  error instanceof DOMException && error.name === "QuotaExceededError"
    ? "the browser's storage is full"
    : error instanceof Error
      ? error.message
      : String(error);
