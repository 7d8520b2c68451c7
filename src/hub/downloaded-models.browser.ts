/** @file The models in the browser's storage, and their removal. */

import { InvalidRequest, listed } from "../errors.js";
import type { DownloadedModel } from "./downloaded-models.js";

const storage = () => import("./storage.browser.js");

export const downloadedModels = async (): Promise<DownloadedModel[]> => (await storage()).storedModels();

/** Deletes all that is stored of a model. InvalidRequest for one that is not there. */
export async function removeDownloadedModel(id: string): Promise<void> {
  const { removeStoredModel, storedModels } = await storage();
  const ids = (await storedModels()).map((model) => model.id);
  if (ids.includes(id)) return removeStoredModel(id);
  const there = ids.length > 0 ? `There are ${listed(ids)}.` : "It holds none.";
  throw new InvalidRequest("model", id, `must be in this browser's storage, got ${listed([id])}. ${there}`);
}
