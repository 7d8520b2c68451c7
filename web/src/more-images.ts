/** @file More images like one of the gallery: the same settings with the seeds that follow. */

import { seedAfter } from "../../src/diffusion/seed.js";
import type { GenerationSettings } from "../../src/jobs/schemas.js";
import type { SavedFiles, SavedImage } from "./database.js";
import { images } from "./gallery.js";
import { showMessage } from "./messages.js";
import { requestAgain, served } from "./settings.js";
import { generateTask } from "./tasks.js";

/** As many as the server allows. */
const atMost = (count: number): number => Math.min(count, served.value?.limits.count ?? 1);

const seedFrom = (seed: string, by: number): string => String(seedAfter(BigInt(seed), by));

/** The first seed after an image's own of which the gallery has no image with these settings. */
function nextSeed(settings: GenerationSettings): string {
  const keyOf = (one: GenerationSettings) => JSON.stringify({ ...one, seed: undefined });
  const key = keyOf(settings);
  const taken = new Set(images.value.filter((image) => keyOf(image.settings) === key).map(seedOf));
  let seed = seedFrom(settings.seed, 1);
  while (taken.has(seed)) seed = seedFrom(seed, 1);
  return seed;
}

const seedOf = ({ settings }: SavedImage): string => settings.seed;

/** What the button of `generateMore` does, exactly. */
export function moreTitle(settings: GenerationSettings, count: number): string {
  const first = nextSeed(settings);
  const seeds = count === 1 ? `seed ${first}` : `seeds ${first} to ${seedFrom(first, atMost(count) - 1)}`;
  return `The same settings with ${seeds}`;
}

/** Images of the same settings, with the seeds that follow its own. */
export async function generateMore(
  { settings }: SavedImage,
  files: SavedFiles | undefined,
  count: number,
): Promise<void> {
  if (settings.strength !== undefined && !files?.image) {
    const what = "This image was generated from another one, which this browser no longer has.";
    showMessage("error", `${what} Use its settings, and choose the image to start from.`);
    return;
  }
  const { image, mask } = files ?? {};
  const initFiles = { ...(image && { image }), ...(mask && { mask }) };
  const more = { ...settings, seed: nextSeed(settings), count: atMost(count) };
  await generateTask(settings.prompt, () => requestAgain(more, initFiles), initFiles);
}
