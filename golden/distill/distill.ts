/** @file FOLDER/distil: distillation and training, from single operations to the weights after five updates. */

import { type Check, failingCheck, orFailingCheck, type Section, uncovered } from "../conformance/check.js";
import { whyNotCovered } from "../conformance/not-covered.js";
import { autoencoderChecks } from "./autoencoder-checks.js";
import { consistencyChecks } from "./consistency-checks.js";
import { type DistillFolder, distillFolder } from "./folder.js";
import { type DistillationNetworks, distillationNetworks } from "./networks.js";
import { normalisedChecks } from "./normalised-checks.js";
import { operationChecks } from "./operation-checks.js";
import { stepChecks } from "./step-checks.js";
import { studentChecks } from "./student-checks.js";
import { captionChecks, emaChecks, learningRateChecks, noiseChecks } from "./table-checks.js";
import { trainingChecks } from "./training-checks.js";
import { trajectoryChecks } from "./trajectory-checks.js";

/** Each resting on the ones before: tables, operations, initialisation, features, one step, training. */
const parts: Readonly<
  Record<string, (set: DistillFolder, all: DistillationNetworks) => Check[] | Promise<Check[]>>
> = {
  schedule: noiseChecks,
  lr: learningRateChecks,
  ema: emaChecks,
  captions: captionChecks,
  ops: operationChecks,
  students: studentChecks,
  steps: stepChecks,
  training: trainingChecks,
  consistency: consistencyChecks,
  trajectories: trajectoryChecks,
  normalised: normalisedChecks,
  autoencoders: autoencoderChecks,
};

/** Files that a row reads, or that only describe others. */
const known = [
  /^(README\.md|manifest\.json|sensitivity\.json)$/,
  /^(schedule|ema|captions|ops|vae-kl|vae-tiny)\.(json|safetensors)$/,
  /^(lr|mapping-.+|features-.+|step-.+|train-.+)\.json$/,
  /^(step|train)-.+\.safetensors$/,
  /^(lcm|trajectory|normalised)-.+\.(json|safetensors)$/,
  /^(teacher|student-init-.+|vae-kl|vae-tiny)$/,
];

export const distill: Section = async (context) => {
  const set = await distillFolder(context);
  const all = distillationNetworks(set);
  const rows: Check[] = [];
  for (const [name, list] of Object.entries(parts))
    rows.push(...(await orFailingCheck(name, async () => list(set, all))));
  const rest = set.names.filter((name) => !known.some((pattern) => pattern.test(name)));
  const others = rest.filter((name) => whyNotCovered(`distil/${name}`) === undefined);
  for (const name of rest)
    if (!others.includes(name)) rows.push(uncovered(name, whyNotCovered(`distil/${name}`)!));
  if (others.length === 0) return rows;
  return [...rows, failingCheck("(others)", `this tool does not know what is in ${others.join(", ")}`)];
};
