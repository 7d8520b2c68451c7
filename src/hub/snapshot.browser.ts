/** @file A repository on the Hub as a folder that a browser reads: its files stay there and are read by ranges. */

import { InvalidRequest, ModelError } from "../errors.js";
import { mount, rangesOf, readJson } from "../files/file-system.browser.js";
import path from "../files/path.js";
import { filesUnder } from "./cache.js";
import type { HubModel } from "./name.js";
import type { Selection } from "./select.js";
import type { SelectionPlan, Snapshot } from "./snapshot.js";

const hub = "https://huggingface.co";

/** The Hub's answer about a revision. */
type Revision = { sha: string; siblings: readonly { rfilename: string; size: number }[] };

/** The files that `plan` selects. ModelError, InvalidRequest. */
export async function ensureSnapshot<S extends Selection>(
  model: HubModel,
  plan: SelectionPlan<S>,
): Promise<Snapshot<S>> {
  const { sha, siblings } = await revisionOf(model);
  // As the cache on a disk is laid out, so that an image's record names model and commit.
  const folder = `/hub/models--${model.id.replaceAll("/", "--")}/snapshots/${sha}`;
  const files = new Map(siblings.map(({ rfilename, size }) => [rfilename, size]));
  mount(folder, { files, read: rangesOf((name) => new URL(`/${model.id}/resolve/${sha}/${name}`, hub)) });
  const { selection, missing } = await selectIn(folder, plan);
  if (missing.length > 0) throw plan.refuse(missing, [...files.keys()]);
  return { folder, selection };
}

/** The files that `plan` selects, and those that are missing. */
export async function selectIn<S extends Selection>(
  folder: string,
  plan: SelectionPlan<S>,
): Promise<{ selection: S; missing: string[] }> {
  const names = await filesUnder(folder);
  const read = async (name: string) => (names.includes(name) ? readJson(path.join(folder, name)) : undefined);
  const selection = await plan.select({ names, complete: true, has: () => true, read });
  return { selection, missing: [...selection.missing] };
}

async function revisionOf({ id, revision }: HubModel): Promise<Revision> {
  const url = new URL(`/api/models/${id}/revision/${encodeURIComponent(revision)}?blobs=true`, hub);
  const response = await fetch(url).catch((error: unknown) => {
    throw new ModelError(id, `must be reachable on the Hub, got ${String(error)}. Check the connection.`);
  });
  if (response.ok) return (await response.json()) as Revision;
  const rule = `must be a public model on the Hub, got the answer ${response.status} for ${revision}`;
  throw new InvalidRequest("model", id, `${rule}. Check its name and revision.`);
}
