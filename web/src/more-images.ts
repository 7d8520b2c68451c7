/** @file More images like one of the gallery: the same settings with the seeds that follow. */

import { seedAfter } from "../../src/diffusion/seed.js";
import type { GenerationSettings } from "../../src/jobs/schemas.js";
import type { SavedFiles, SavedImage } from "./database.js";
import { showMessage } from "./messages.js";
import { requestAgain, served } from "./settings.js";
import { generateTask } from "./tasks.js";

const most = () => Math.min(4, served.value?.limits.count ?? 1);

const following = (seed: string, by: number): string => String(seedAfter(BigInt(seed), by));

export function fourTitle({ seed }: GenerationSettings): string {
  return `The same settings with seeds ${following(seed, 1)} to ${following(seed, most())}`;
}

/** Four images of the image's settings, with the four seeds after its own. */
export async function generateFour({ settings }: SavedImage, files: SavedFiles | undefined): Promise<void> {
  if (settings.strength !== undefined && !files?.image) {
    const what = "This image was generated from another one, which this browser no longer has.";
    showMessage("error", `${what} Use its settings, and choose the image to start from.`);
    return;
  }
  const request = () =>
    requestAgain({ ...settings, seed: following(settings.seed, 1), count: most() }, files ?? {});
  await generateTask(settings.prompt, request, {
    ...(files?.image && { image: files.image }),
    ...(files?.mask && { mask: files.mask }),
  });
}
