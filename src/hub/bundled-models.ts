/** @file The models inside the package, and which of them is used where no model is named. */

import { existsSync } from "node:fs";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { InvalidRequest } from "../errors.js";
import { packageFile } from "../package-files.js";

const root = fileURLToPath(packageFile("models"));

/** The folders of the bundled models by the name that stands for them, the default first. */
const folders: ReadonlyMap<string, string> = new Map([
  ["koala-nano", path.join(root, "nano")],
  ["koala-nano-lightning", path.join(root, "nano-lightning")],
]);

/** The folder of the bundled model of this name; undefined for other names. */
export const bundledFolder = (name: string): string | undefined => folders.get(name);

/** The folders of all, the default first. */
export const bundledFolders = (): string[] => [...folders.values()];

/** `model`, or the folder of the default one; InvalidRequest, about `field`, where this copy of the package has none. */
export function modelOrBundled(model: string | undefined, field = "--model"): string {
  if (model !== undefined) return model;
  const [folder] = bundledFolders();
  if (existsSync(folder!)) return folder!;
  const rule = `must be given, got none, and this copy of the package lacks its own models (${root}).`;
  throw new InvalidRequest(field, undefined, `${rule} Name a diffusers folder or a Hub id.`);
}

/** The evaluator of the bundled models, if `folder` is that of one; else undefined. */
export const bundledEvaluator = (folder: string): string | undefined =>
  bundledFolders().includes(path.resolve(folder)) ? path.join(root, "nano", "evaluator") : undefined;
