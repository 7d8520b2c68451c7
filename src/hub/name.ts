/** @file The names of models on the Hub, `owner/name[@revision]`, and of files in their repositories. Pure. */

import { InvalidRequest } from "../errors.js";
import { isWeights } from "../weights/file-names.js";
import { isInside } from "../weights/index-file.js";

/** `revision` is a branch, a tag or a commit. */
export type HubModel = { id: string; revision: string };

const id = /^[\w][\w.-]*\/[\w][\w.-]*$/;
// A revision becomes a path under refs/.
const ref = /^[\w][\w.+-]*(\/[\w][\w.+-]*)*$/;

/** Reads `owner/name[@revision]`; the revision is "main" where neither argument gives one. InvalidRequest. */
export function hubModel(model: string, revision?: string): HubModel {
  const [name, ...rest] = model.split("@");
  const inName = rest.length > 0 ? rest.join("@") : undefined;
  if (!isId(name!)) {
    throw new InvalidRequest("model", model, `${rule}, got ${JSON.stringify(model)}. ${remedy(model)}`);
  }
  if (inName !== undefined && revision !== undefined && inName !== revision) {
    const got = `"${inName}" in the model's name and "${revision}"`;
    throw new InvalidRequest("revision", revision, `must be given once, got ${got}. Leave one out.`);
  }
  return { id: name!, revision: checkedRevision(inName ?? revision ?? "main") };
}

/** A file or a folder of a repository; `inside` is "" for all of it. */
export type HubPath = HubModel & { inside: string };

// The syntax of Hugging Face's file system; a slash in a branch is written as %2F.
const place =
  /^(?<id>[^/@]+\/[^/@]+)(?:@(?<revision>refs\/(?:pr|convert)\/[^/]+|[^/]+))?(?:\/(?<inside>.+))?$/;

/** Reads `owner/name[@revision][/path]`, as the value of `field`. InvalidRequest. */
export function hubPath(field: string, name: string): HubPath {
  const { id: repository = "", revision = "main", inside = "" } = place.exec(name)?.groups ?? {};
  // "loras/pixel.safetensors" is a local file that does not exist.
  if (!isId(repository) || isWeights(repository) || (inside !== "" && !isInside(inside))) {
    const got = `got ${JSON.stringify(name)}`;
    throw new InvalidRequest(field, name, `${pathRule}, ${got}. ${pathRemedy(name)}`);
  }
  return { id: repository, revision: checkedRevision(revision.replace(/%2f/gi, "/")), inside };
}

const isId = (name: string): boolean => id.test(name) && !name.includes("--") && !name.includes("..");

function checkedRevision(revision: string): string {
  if (ref.test(revision) && !revision.includes("..")) return revision;
  const got = JSON.stringify(revision);
  const rule = `must be a branch, a tag or a commit, got ${got}. Try "main".`;
  throw new InvalidRequest("revision", revision, rule);
}

/** Whether a name without its revision has the form `owner/name`. */
export const isHubId = (model: string): boolean => id.test(model.split("@")[0]!);

export const isCommit = (revision: string): boolean => /^[0-9a-f]{40}$/.test(revision);

const rule = "must be a folder that exists, or a Hub id owner/name[@revision]";
const pathRule = "must be a file or folder that exists, or on the Hub owner/name[@revision][/file]";

function pathRemedy(name: string): string {
  const url = /^https?:\/\/[^/]+\/([\w.-]+\/[\w.-]+)(?:\/(?:blob|resolve|tree)\/([^/]+)(\/[^?]+)?)?/.exec(
    name,
  );
  if (!url) return "Check the path.";
  const [, repository, revision, file = ""] = url;
  return `Did you mean "${repository}${revision && revision !== "main" ? `@${revision}` : ""}${file}"?`;
}

function remedy(model: string): string {
  const url = /^https?:\/\/[^/]+\/([\w.-]+\/[\w.-]+)(?:\/tree\/([\w./-]+))?/.exec(model);
  if (url) return `Did you mean "${url[1]}${url[2] ? `@${url[2]}` : ""}"?`;
  if (/^[\w.-]+$/.test(model)) return `Check the path, or name the owner too, as in "etri-vilab/${model}".`;
  return "Check the path.";
}
