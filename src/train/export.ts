/**
 * @file Export of a trained U-Net as a complete diffusers folder, with its teacher's other components. Independent of how
 * it was trained.
 */

import path from "node:path";
import { isDeepStrictEqual } from "node:util";
import { InvalidRequest, listed, ModelError } from "../errors.js";
import {
  copyFile,
  kindOf,
  link,
  makeFolder,
  readdir,
  readJson,
  rename,
  rm,
  rmdir,
  stat,
  writeFile,
  writeWhole,
} from "../files/file-system.js";
import type { JsonObject } from "../files/json.js";
import { clipName } from "../models/clip.js";
import { unetConfig } from "../models/unet-config.js";
import { runFile } from "../monitor/run-folder.js";
import { type Shape, sameShape, show } from "../tensor/tensor.js";
import { resolveWeights } from "../weights/component.js";
import { fromFloat32 } from "../weights/dtype.js";
import { openFolder } from "../weights/folder.js";
import type { ModelSource } from "../weights/model-source.js";
import { type TensorSource, writeSafetensors } from "../weights/safetensors-file.js";
import { renamed } from "../weights/weight-set.js";
import { json, otherParts, type TakenFile } from "./export-components.js";
import { unetWeights } from "./initialisation.js";

/** Weights by their path in the checkpoint. */
export type Weights = ReadonlyMap<string, { shape: Shape; data: Float32Array }>;

export type ExportOptions = {
  /** The folder whose other parts are taken over. */
  teacher: string;
  /** The student's `unet/config.json`. */
  unetConfig: JsonObject;
  weights: Weights;
  output: string;
  /** Hard links in place of copies: no disk space, but on the same disk only. */
  link?: boolean;
  /** Trained text encoders by the name of their part; the teacher's weights stay behind. */
  textEncoders?: ReadonlyMap<string, Weights>;
  /** Fields of the scheduler's config that differ from the teacher's; with `_class_name` the whole config of another. */
  scheduler?: JsonObject;
  /** How to generate with it (steps, guidance): `koala.json`. */
  modelDefaults?: JsonObject;
  dtype?: "float32" | "float16";
  /** Which of the teacher's weight files to take; without it the plain ones, else the only ones there are. */
  variant?: string;
};

/** Marks a folder as an export, and records what was taken over: each file's bytes. */
const markName = ".koala-export.json";
const indexName = "model_index.json";
/** In a run's folder: the model that is being written. */
export const unfinishedModel = ".model.partial";
type Mark = { version: 1; taken: Readonly<Record<string, number>> };

/** The parts of an export besides the trained weights. */
type Prepared = { folder: ModelSource; config: JsonObject; taken: TakenFile[]; mark: Mark };
type Plan = Omit<ExportOptions, "weights" | "textEncoders">;

/**
 * Writes the folder beside `output` and renames it; over an earlier export of the same student it replaces the trained
 * weights, each file at once. InvalidRequest for an output that is anything else, ModelError for wrong weights.
 */
export async function exportModel(options: ExportOptions): Promise<void> {
  const { weights, output, textEncoders = new Map<string, Weights>() } = options;
  const { folder, config, taken, mark } = await prepare(options, new Set(textEncoders.keys()));
  checkTrainedWeights(
    "the student's U-Net",
    weights,
    unetWeights(unetConfig(config, "the student's config.json")),
  );
  for (const [name, replaced] of textEncoders) await checkEncoder(folder, name, replaced, options.variant);
  const there = await whatIs(output);
  if (there === "nothing") return writeNew(options, config, taken, mark);
  if (there === "run") return writeIntoRun(options, config, taken, mark);
  await checkSame(options, config, mark);
  await writeTrained(output, options);
}

/**
 * Refuses, before a run begins, an output that its model could not be written to: one with other files at the model's
 * paths, or with a model of another student. `trained` are the text encoders whose weights will be the run's.
 */
export async function checkExport(plan: Plan, trained: ReadonlySet<string> = new Set()): Promise<void> {
  const { output } = plan;
  const { config, taken, mark } = await prepare(plan, trained);
  if ((await kindOf(output)) !== "folder") return;
  const there = await readdir(output);
  // Of a run that goes on, the trainer compares all settings, and says which one differs.
  const earlier = there.includes(markName) && there.includes(indexName) && !there.includes(runFile);
  if (earlier) return checkSame(plan, config, mark);
  refuseForeign(output, there, ["unet", ...taken.map(({ to }) => to.split("/")[0]!)]);
}

async function prepare(
  { teacher, unetConfig: given, variant, scheduler = {} }: Plan,
  trained: ReadonlySet<string>,
): Promise<Prepared> {
  const folder = await openFolder(teacher);
  const config = await studentConfigFile(folder, given);
  const taken = await withScheduler(await otherParts(folder, trained, variant), scheduler);
  return { folder, config, taken, mark: { version: 1, taken: await sizes(taken) } };
}

/** A folder without the mark may hold nothing at the paths of the model's components. */
function refuseForeign(output: string, there: readonly string[], parts: readonly string[]): void {
  const foreign = there.includes(markName) ? [] : there.filter((name) => parts.includes(name));
  if (foreign.length === 0) return;
  const rule = `must leave room for the model's parts, got ${listed(foreign)} in "${output}".`;
  throw new InvalidRequest("output", output, `${rule} Choose another folder.`);
}

/** Adds the class that Diffusers needs; a custom config may lack it. */
async function studentConfigFile(folder: ModelSource, given: JsonObject): Promise<JsonObject> {
  const { _class_name, _diffusers_version } = await folder.component("unet").config();
  const { _name_or_path: _, ...own } = given;
  return {
    _class_name: _class_name ?? "UNet2DConditionModel",
    ...(_diffusers_version !== undefined && { _diffusers_version }),
    ...own,
  };
}

async function withScheduler(files: readonly TakenFile[], fields: JsonObject): Promise<TakenFile[]> {
  const name = "scheduler/scheduler_config.json";
  const own = files.find(({ to }) => to === name);
  if (Object.keys(fields).length === 0 || !own || !("from" in own)) return [...files];
  const { _class_name: another } = fields;
  const { _diffusers_version: version, ...rest } = await readJson(own.from);
  const config = another === undefined ? { ...rest, ...fields } : fields;
  const text = json({ ...config, ...(version !== undefined && { _diffusers_version: version }) });
  return files.map((file) => {
    if (file === own) return { to: name, text };
    if (another === undefined || file.to !== indexName || !("text" in file)) return file;
    const index = { ...JSON.parse(file.text), scheduler: ["diffusers", another] };
    return { to: indexName, text: json(index) };
  });
}

function checkTrainedWeights(what: string, weights: Weights, required: ReadonlyMap<string, Shape>): void {
  const missing = [...required.keys()].filter((name) => !weights.has(name));
  const unexpected = [...weights.keys()].filter((name) => !required.has(name));
  if (missing.length + unexpected.length > 0) {
    const rule = `must hold the ${required.size} tensors of its config`;
    const got = `missing ${listed(missing, 3) || "none"}, besides them ${listed(unexpected, 3) || "none"}`;
    throw new ModelError(what, `${rule}, got ${got}.`, { missing, unexpected });
  }
  for (const [name, shape] of required) {
    const found = weights.get(name)!;
    if (!sameShape(found.shape, shape))
      throw new ModelError(what, `${name}: must be ${show(shape)}, got ${show(found.shape)}.`);
    if (!found.data.every(Number.isFinite))
      throw new ModelError(what, `${name}: must be finite, got NaN or infinity. Train at a lower rate.`);
  }
}

/** A trained text encoder must hold what the teacher's does; `position_ids` are no weights. */
async function checkEncoder(
  folder: ModelSource,
  name: string,
  weights: Weights,
  variant: string | undefined,
): Promise<void> {
  const { path: at } = folder.component(name);
  const { tensors } = renamed(await resolveWeights(at, variant === undefined ? {} : { variant }), clipName);
  const shapes = [...tensors]
    .filter(([k]) => !k.endsWith("position_ids"))
    .map(([k, t]) => [k, t.shape] as const);
  checkTrainedWeights(name, weights, new Map(shapes));
}

async function sizes(taken: readonly TakenFile[]): Promise<Record<string, number>> {
  const bytes = async (file: TakenFile) =>
    "from" in file ? (await stat(file.from)).size : Buffer.byteLength(file.text);
  return Object.fromEntries(await Promise.all(taken.map(async (file) => [file.to, await bytes(file)])));
}

/** `run`: a training run's folder that holds no whole model yet. InvalidRequest for any other folder. */
async function whatIs(output: string): Promise<"export" | "run" | "nothing"> {
  const kind = await kindOf(output);
  if (kind === undefined) return "nothing";
  const refuse = (got: string): never => {
    const rule = `must be new, empty, a run of training or an earlier export, got ${got}.`;
    throw new InvalidRequest("output", output, `${rule} Choose another folder.`);
  };
  if (kind === "file") return refuse(`the file "${output}"`);
  const names = await readdir(output);
  if (names.length === 0) return "nothing";
  const started = names.includes(runFile) && !names.includes(indexName);
  if (names.includes(markName)) return started ? "run" : "export";
  if (started) return "run";
  return refuse(`"${output}" with ${listed(names)}`);
}

async function writeNew(
  options: ExportOptions,
  config: JsonObject,
  taken: readonly TakenFile[],
  mark: Mark,
): Promise<void> {
  const output = path.resolve(options.output);
  const beside = `${output}.partial`;
  if ((await whatIs(beside)) !== "nothing") await rm(beside, { recursive: true });
  await writeModel(beside, options, config, taken, mark);
  // A folder that is there is empty; where it no longer is, this fails and it stays.
  if (await kindOf(output)) await rmdir(output);
  await rename(beside, output);
}

/**
 * Moves the components into the run's folder one by one. The mark comes first, so that the files of a move
 * that was cut off are recognised; the index, without which no model is there, comes last.
 */
async function writeIntoRun(
  options: ExportOptions,
  config: JsonObject,
  taken: readonly TakenFile[],
  mark: Mark,
): Promise<void> {
  const { output } = options;
  const beside = path.join(output, unfinishedModel);
  await rm(beside, { recursive: true, force: true });
  await writeModel(beside, options, config, taken, mark);
  const names = (await readdir(beside)).filter((name) => name !== markName && name !== indexName);
  try {
    refuseForeign(output, await readdir(output), names);
  } catch (error) {
    await rm(beside, { recursive: true });
    throw error;
  }
  for (const name of [markName, ...names, indexName]) {
    const to = path.join(output, name);
    await rm(to, { recursive: true, force: true });
    await rename(path.join(beside, name), to);
  }
  await rmdir(beside);
}

async function writeModel(
  beside: string,
  options: ExportOptions,
  config: JsonObject,
  taken: readonly TakenFile[],
  mark: Mark,
): Promise<void> {
  try {
    await makeFolder(beside);
    // First, so that what a killed run leaves is recognised.
    await writeFile(path.join(beside, markName), json(mark));
    for (const file of taken) await take(file, beside, options.link ?? false);
    await makeFolder(path.join(beside, "unet"));
    await writeFile(path.join(beside, "unet", "config.json"), json(config));
    await writeTrained(beside, options);
  } catch (error) {
    // On a full disk half a model would keep the room that the next attempt needs.
    await rm(beside, { recursive: true, force: true }).catch(() => undefined);
    throw error;
  }
}

async function take(file: TakenFile, into: string, linked: boolean): Promise<void> {
  const to = path.join(into, file.to);
  await makeFolder(path.dirname(to));
  if ("text" in file) await writeFile(to, file.text);
  else if (linked) await link(file.from, to);
  else await copyFile(file.from, to);
}

/** An earlier export may only be replaced by the same student of the same teacher: else old and new would mix. */
async function checkSame({ output, teacher }: Plan, config: JsonObject, mark: Mark): Promise<void> {
  const refuse = (got: string): never => {
    const rule = `must be new, or an earlier export of the same student, got ${got} in "${output}".`;
    throw new InvalidRequest("output", output, `${rule} Choose another folder, or delete this one.`);
  };
  if (path.resolve(output) === path.resolve(teacher)) refuse("the teacher itself");
  const found = await readJson(path.join(output, "unet", "config.json"));
  const fields = [...new Set([...Object.keys(found), ...Object.keys(config)])];
  const other = fields.filter((field) => !isDeepStrictEqual(found[field], config[field]));
  if (other.length > 0) refuse(`another ${listed(other)}`);
  if (!isDeepStrictEqual(await readJson(path.join(output, markName)), mark))
    refuse("parts of another teacher");
}

/** The trained files, each written beside and renamed. */
async function writeTrained(
  into: string,
  { weights, dtype = "float32", textEncoders, modelDefaults }: ExportOptions,
): Promise<void> {
  for (const [name, trained] of textEncoders ?? [])
    await writeSafetensors(path.join(into, name, "model.safetensors"), stored(trained, dtype));
  await writeSafetensors(
    path.join(into, "unet", "diffusion_pytorch_model.safetensors"),
    stored(weights, dtype),
  );
  if (!modelDefaults) return;
  await writeWhole(path.join(into, "koala.json"), json(modelDefaults));
}

function stored(weights: Weights, dtype: "float32" | "float16"): Map<string, TensorSource> {
  const half = dtype === "float16";
  const entries = [...weights].map(([name, { shape, data }]): [string, TensorSource] => [
    name,
    half
      ? { dtype: "F16", shape, data: async () => fromFloat32(data, "F16") }
      : { dtype: "F32", shape, data },
  ]);
  return new Map(entries);
}
