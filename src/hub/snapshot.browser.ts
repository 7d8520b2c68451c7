/** @file A repository on the Hub as a folder that a browser reads. What downloads and stores it is loaded at need. */

import { readJson } from "../files/file-system.browser.js";
import path from "../files/path.js";
import { filesUnder } from "./cache.js";
import type { HubModel } from "./name.js";
import type { Selection } from "./select.js";
import type { SelectionPlan, Snapshot, SnapshotOptions } from "./snapshot.js";

/** The files that `plan` selects, downloaded into the browser's storage if need be. ModelError, InvalidRequest, Cancelled. */
export async function ensureSnapshot<S extends Selection>(
  model: HubModel,
  plan: SelectionPlan<S>,
  options: SnapshotOptions,
): Promise<Snapshot<S>> {
  const { storedSnapshot } = await import("./stored-snapshot.browser.js");
  return storedSnapshot(model, plan, options);
}

/** The files that `plan` selects in a mounted folder, and those that are missing. */
export async function selectIn<S extends Selection>(
  folder: string,
  plan: SelectionPlan<S>,
): Promise<{ selection: S; missing: string[] }> {
  const names = await filesUnder(folder);
  const read = async (name: string) => (names.includes(name) ? readJson(path.join(folder, name)) : undefined);
  const selection = await plan.select({ names, complete: true, has: () => true, read });
  return { selection, missing: [...selection.missing] };
}
