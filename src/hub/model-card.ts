/** @file The model card of a model: README.md in its folder, or in its repository on the Hub. */

import { ModelError } from "../errors.js";
import { kindOf, readText } from "../files/file-system.js";
import path from "../files/path.js";
import { bundledFolder } from "./bundled-models.js";
import { hubModel } from "./name.js";
import { pathKind } from "./resolve.js";
import { ensureSnapshot, type SnapshotOptions } from "./snapshot.js";

const cardName = "README.md";

/**
 * The card of a folder of this machine, a bundled model or a Hub id, whose card is downloaded if the cache lacks it;
 * undefined where there is none. ModelError where the Hub cannot be asked.
 */
export async function readModelCard(
  model: string,
  options: SnapshotOptions = {},
): Promise<string | undefined> {
  const local = (await pathKind(model)) ? model : bundledFolder(model);
  const file = path.join(local ?? (await cardSnapshot(model, options)), cardName);
  return (await kindOf(file)) === "file" ? readText(file) : undefined;
}

async function cardSnapshot(model: string, options: SnapshotOptions): Promise<string> {
  const named = hubModel(model);
  const select = async ({ names }: { names: readonly string[] }) => ({
    files: names.filter((name) => name === cardName),
    ...{ indexes: [], missing: [] },
  });
  const refuse = () => new ModelError(named.id, `must hold ${cardName}.`);
  return (await ensureSnapshot(named, { select, refuse }, options)).folder;
}
