/** @file The name of a model on the Hub, `owner/name[@revision]`. Pure. */

import { InvalidRequest } from "../errors.js";

/** `revision` is a branch, a tag or a commit. */
export type HubModel = { id: string; revision: string };

const id = /^[\w][\w.-]*\/[\w][\w.-]*$/;
// A revision becomes a path under refs/.
const ref = /^[\w][\w.+-]*(\/[\w][\w.+-]*)*$/;

/** Reads `owner/name[@revision]`; the revision is "main" where neither place names one. InvalidRequest. */
export function hubModel(model: string, revision?: string): HubModel {
  const [name, ...rest] = model.split("@");
  const inName = rest.length > 0 ? rest.join("@") : undefined;
  if (!id.test(name!) || name!.includes("--") || name!.includes("..")) {
    throw new InvalidRequest("model", model, `${rule}, got ${JSON.stringify(model)}. ${remedy(model)}`);
  }
  if (inName !== undefined && revision !== undefined && inName !== revision) {
    const got = `"${inName}" in the model's name and "${revision}"`;
    throw new InvalidRequest("revision", revision, `must be given once, got ${got}. Leave one out.`);
  }
  const chosen = inName ?? revision ?? "main";
  if (!ref.test(chosen) || chosen.includes("..")) {
    const got = JSON.stringify(chosen);
    throw new InvalidRequest(
      "revision",
      chosen,
      `must be a branch, a tag or a commit, got ${got}. Try "main".`,
    );
  }
  return { id: name!, revision: chosen };
}

export const isCommit = (revision: string): boolean => /^[0-9a-f]{40}$/.test(revision);

const rule = "must be a folder that exists, or a Hub id owner/name[@revision]";

function remedy(model: string): string {
  const url = /^https?:\/\/[^/]+\/([\w.-]+\/[\w.-]+)(?:\/tree\/([\w./-]+))?/.exec(model);
  if (url) return `Did you mean "${url[1]}${url[2] ? `@${url[2]}` : ""}"?`;
  if (/^[\w.-]+$/.test(model)) return `Check the path, or name the owner too, as in "etri-vilab/${model}".`;
  return "Check the path.";
}
