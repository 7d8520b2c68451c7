/** @file The models that were downloaded, and their removal; in a browser `downloaded-models.browser.ts` takes its place. */

import { cachedModels, removal } from "./inventory.js";
import { cacheFolder } from "./settings.js";

/** A model that was downloaded, whole or in part, with the bytes of all its revisions. */
export type DownloadedModel = { id: string; bytes: number };

/** All models in the Hub's cache, in a browser in the page's storage. */
export async function downloadedModels(): Promise<DownloadedModel[]> {
  const bytes = new Map<string, number>();
  for (const model of await cachedModels(cacheFolder()))
    bytes.set(model.id, (bytes.get(model.id) ?? 0) + model.bytes);
  return [...bytes].map(([id, bytes]) => ({ id, bytes }));
}

/** Deletes all that was downloaded of a model. InvalidRequest for one that is not there. */
export async function removeDownloadedModel(id: string): Promise<void> {
  await (await removal(cacheFolder(), id)).remove();
}
