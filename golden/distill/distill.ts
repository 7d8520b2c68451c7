/** @file FOLDER/distil: distillation and training, from single operations to the weights after five updates. */

import { failing, orFailing, type Row, type Section } from "../row.js";
import { autoencoderRows } from "./autoencoders.js";
import { type DistillFolder, distillFolder } from "./folder.js";
import { type Nets, nets } from "./networks.js";
import { operationRows } from "./ops.js";
import { stepRows } from "./step.js";
import { studentRows } from "./student.js";
import { averageRows, captionRows, rateRows, scheduleRows } from "./tables.js";
import { trainRows } from "./train-rows.js";

/** Each resting on the ones before: tables, operations, initialisation, features, one step, training. */
const parts: Readonly<Record<string, (set: DistillFolder, all: Nets) => Row[] | Promise<Row[]>>> = {
  schedule: scheduleRows,
  lr: rateRows,
  ema: averageRows,
  captions: captionRows,
  ops: operationRows,
  students: studentRows,
  steps: stepRows,
  training: trainRows,
  autoencoders: autoencoderRows,
};

/** Files that a row reads, or that only describe others. */
const known = [
  /^(README\.md|manifest\.json|sensitivity\.json)$/,
  /^(schedule|ema|captions|ops|vae-kl|vae-tiny)\.(json|safetensors)$/,
  /^(lr|mapping-.+|features-.+|step-.+|train-.+)\.json$/,
  /^(step|train)-.+\.safetensors$/,
  /^(teacher|student-init-.+|vae-kl|vae-tiny)$/,
];

export const distill: Section = async (context) => {
  const set = await distillFolder(context);
  const all = nets(set);
  const rows: Row[] = [];
  for (const [name, list] of Object.entries(parts))
    rows.push(...(await orFailing(name, async () => list(set, all))));
  const others = set.names.filter((name) => !known.some((pattern) => pattern.test(name)));
  if (others.length === 0) return rows;
  return [...rows, failing("(others)", `this tool does not know what is in ${others.join(", ")}`)];
};
