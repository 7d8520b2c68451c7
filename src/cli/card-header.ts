/** @file The YAML header of a model card, as the Hub reads it: licence, what the model is, and what was measured. */

import path from "node:path";
import { InvalidRequest, ModelError } from "../errors.js";
import { measureOf } from "../evaluate/measures.js";
import { kindOf } from "../files/file-system.js";
import type { JsonObject } from "../files/json.js";
import { readModelCard } from "../hub/model-card.js";
import { isHubId } from "../hub/name.js";
import type { Family } from "../weights/pipeline-class.js";
import { readCard } from "./card-text.js";
import type { Report } from "./evaluation-report.js";

export type HeaderFacts = {
  name: string;
  family: Family;
  /** The fields of the card that is gone on with, which stay. */
  before: JsonObject;
  license: JsonObject;
  baseModel?: string | undefined;
  /** How it was trained: `distill`, `train`. */
  command?: string | undefined;
  tags: readonly string[];
  evaluations: readonly Report[];
};

const familyTags: Readonly<Record<Family, string>> = { sdxl: "stable-diffusion-xl", sd: "stable-diffusion" };

/** Fields that people gave stay, in their order; the licence and what follows from the model are set. */
export function headerOf({ before, license, baseModel, evaluations, ...facts }: HeaderFacts): JsonObject {
  const { license: _, license_name: __, license_link: ___, ...rest } = before;
  const own = Array.isArray(rest.tags) ? rest.tags.map(String) : [];
  const ours = [familyTags[facts.family], ...(facts.command === "distill" ? ["distillation"] : [])];
  return {
    ...license,
    ...rest,
    ...(baseModel !== undefined && { base_model: baseModel }),
    ...{ pipeline_tag: "text-to-image", library_name: "diffusers" },
    tags: [...new Set([...own, ...ours, ...facts.tags])],
    ...(evaluations.length > 0 && { "model-index": [modelIndex(facts.name, evaluations)] }),
  };
}

/** Measures of the model alone: agreement with another model says nothing beside other models' figures. */
function modelIndex(name: string, evaluations: readonly Report[]): JsonObject {
  const results = evaluations.map(({ prompts, figures }) => ({
    task: { type: "text-to-image" },
    dataset: { name: `${prompts.count} prompts: ${prompts.source}`, type: "prompts" },
    metrics: figures
      .filter(({ measure }) => measure !== "psnr" && measure !== "ssim")
      .map(({ measure, model }) => {
        const { name, digits, unit } = measureOf(measure);
        return {
          type: measure.replace(/^label:/, "accuracy-"),
          name: unit ? `${name}, ${unit}` : name,
          value: Number(model.mean.toFixed(digits)),
        };
      }),
  }));
  return { name, results: results.filter(({ metrics }) => metrics.length > 0) };
}

type Asked = { folder: string; given: string | undefined; before: JsonObject; baseModel: string | undefined };

/**
 * The licence that is given, else that of the model's own card, else that of its base model's. InvalidRequest where none
 * is found: a licence is never guessed. `from` says whose card it was.
 */
export async function licenseOf(asked: Asked): Promise<{ license: JsonObject; from?: string }> {
  const { given, before, baseModel, folder } = asked;
  if (given !== undefined) return { license: await givenLicense(given, folder) };
  const own = licenseFields(before);
  if (own) return { license: own };
  const { license, why } = await licenseOfBase(baseModel);
  if (license) return { license, from: baseModel! };
  const file = await licenseFile(folder);
  const read = file === undefined ? "" : ` Its ${file} may say which.`;
  const rule = `must be given, got none: ${why}.${read} Add --license ID, such as apache-2.0 or openrail++.`;
  throw new InvalidRequest("--license", undefined, rule);
}

async function givenLicense(license: string, folder: string): Promise<JsonObject> {
  if (!/^[a-z0-9][a-z0-9.+-]*$/.test(license)) {
    const rule = `must be an id as on the Hub, in lower case such as apache-2.0, got ${JSON.stringify(license)}.`;
    throw new InvalidRequest("--license", license, rule);
  }
  if (license !== "other") return { license };
  const file = await licenseFile(folder);
  if (file !== undefined) return { license, license_link: file };
  const rule = `must come with a file LICENSE in ${folder}, got "other" and no such file. Add it.`;
  throw new InvalidRequest("--license", license, rule);
}

async function licenseFile(folder: string): Promise<string | undefined> {
  for (const name of ["LICENSE", "LICENSE.md", "LICENSE.txt"])
    if ((await kindOf(path.join(folder, name))) === "file") return name;
  return undefined;
}

function licenseFields({ license, license_name, license_link }: JsonObject): JsonObject | undefined {
  if (typeof license !== "string" && !Array.isArray(license)) return undefined;
  return {
    license,
    ...(license_name !== undefined && { license_name }),
    ...(license_link !== undefined && { license_link }),
  };
}

async function licenseOfBase(baseModel: string | undefined): Promise<{ license?: JsonObject; why: string }> {
  const none = "the model's folder has no card that names one";
  if (baseModel === undefined) return { why: none };
  try {
    const text = await readModelCard(baseModel);
    const license = text === undefined ? undefined : licenseFields(readCard(text, baseModel).header);
    if (license) return { license, why: "" };
    return {
      why: `${none}, and ${text === undefined ? "there is no card of" : "none is in that of"} ${baseModel}`,
    };
  } catch (error) {
    if (!(error instanceof ModelError)) throw error;
    return { why: `${none}, and that of ${baseModel} could not be read (${error.message})` };
  }
}

/** What the header names as base model: an id on the Hub; of a folder of this machine nothing. */
export const hubBase = (baseModel: string | undefined): string | undefined =>
  baseModel !== undefined && isHubId(baseModel) ? baseModel.split("@")[0] : undefined;
