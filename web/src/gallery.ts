/** @file The images that were generated: kept in IndexedDB, searched, selected, deleted with a way back. */

import { computed, signal } from "@preact/signals";
import type { GenerationSettings } from "../../src/jobs/schemas.js";
import type { FinishedImage } from "./backend.js";
import { type Database, openDatabase, type SavedFiles, type SavedImage } from "./database.js";
import { thumbnailOf } from "./images.js";
import { say } from "./messages.js";

/** The latest first. */
export const images = signal<readonly SavedImage[]>([]);
export const galleryReady = signal(false);
export const search = signal("");
export const selectedId = signal<string | undefined>(undefined);
export const selectedFiles = signal<SavedFiles | undefined>(undefined);
/** Those to be compared, in the order they were chosen. */
export const compared = signal<readonly string[]>([]);

export const mostCompared = 4;

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
    say("error", `The gallery cannot be opened (${reason(error)}). Images will not be kept: download them.`);
  }
  galleryReady.value = true;
}

/**
 * Keeps a finished image; where the browser refuses, it is kept until the page is left. A generation that is taken up
 * again after a reload gives its images again, under the same ids.
 */
export async function keep(
  id: string,
  generated: FinishedImage,
  settings: GenerationSettings,
  began: { image?: Blob; mask?: Blob } = {},
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
  const files: SavedFiles = { id, file, ...began };
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
    void keepStored();
  } catch (error) {
    say("error", `This image could not be kept (${reason(error)}). Download it, or delete others first.`);
  }
}

let asked = false;

/**
 * Asks the browser, once there is something to lose, not to clear what is kept when it runs short of space. Some ask
 * the visitor; after a no all goes on as before.
 */
async function keepStored(): Promise<void> {
  const { storage } = navigator; // absent where the page came by http from another machine
  if (asked || !storage?.persist) return;
  asked = true;
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

/** Deletes images; the message offers them back. */
export async function remove(ids: readonly string[]): Promise<void> {
  const gone = images.value.filter(({ id }) => ids.includes(id));
  const files = await Promise.all(gone.map(({ id }) => filesOf(id)));
  const following = nextOf(ids);
  images.value = images.value.filter(({ id }) => !ids.includes(id));
  compared.value = compared.value.filter((id) => !ids.includes(id));
  if (ids.includes(selectedId.value ?? "")) await select(following);
  const transaction = (await database()).transaction(["images", "files"], "readwrite");
  for (const id of ids) {
    void transaction.objectStore("images").delete(id);
    void transaction.objectStore("files").delete(id);
  }
  await transaction.done;
  const undo = async () => {
    images.value = [...gone, ...images.value].sort((a, b) => b.createdAt - a.createdAt);
    for (const [i, image] of gone.entries()) if (files[i]) await store(image, files[i]);
  };
  const what = gone.length === 1 ? "Image deleted." : `${gone.length} images deleted.`;
  say("note", what, { label: "Undo", act: undo });
}

/** The neighbour that takes a deleted image's place. */
function nextOf(ids: readonly string[]): string | undefined {
  const shown = found.value;
  const at = shown.findIndex(({ id }) => ids.includes(id));
  return (shown[at + 1] ?? shown[at - 1])?.id;
}

export function toggleCompared(id: string): void {
  const chosen = compared.value;
  if (chosen.includes(id)) compared.value = chosen.filter((other) => other !== id);
  else if (chosen.length < mostCompared) compared.value = [...chosen, id];
  else say("note", `At most ${mostCompared} images can be compared. Take one away first.`);
}

const reason = (error: unknown): string =>
  error instanceof DOMException && error.name === "QuotaExceededError"
    ? "the browser's storage is full"
    : error instanceof Error
      ? error.message
      : String(error);
