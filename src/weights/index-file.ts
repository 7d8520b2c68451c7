/** @file The two index files of a model folder: model_index.json, and the shard index of a component. */
import { listed, ModelError } from "../errors.js";
import { describe, isObject, type JsonObject } from "../files/json.js";

/** The shard's file name of each tensor. */
export type ShardIndex = ReadonlyMap<string, string>;

export type ModelIndex = {
  /** The pipeline's class, `_class_name`. */
  className: string;
  /** The components, by the name of their folder. */
  components: ReadonlyMap<string, { library: string; className: string }>;
  /** All other fields, such as force_zeros_for_empty_prompt. */
  settings: JsonObject;
};

const again = "Download it again.";

/** Checks a shard index ({"weight_map": {tensor: file}}); ModelError. */
export function shardIndex(json: JsonObject, file: string): ShardIndex {
  const map = json.weight_map;
  if (!isObject(map)) {
    throw new ModelError(file, `must have a "weight_map" object, got ${describe(map)}. ${again}`);
  }
  const shards = new Map<string, string>();
  for (const [tensor, shard] of Object.entries(map)) {
    if (!isInside(shard)) {
      const rule = `"weight_map" must name a file inside this folder for ${listed([tensor])}`;
      throw new ModelError(
        file,
        `${rule}, got ${describe(shard)}. Correct the entry, or do not use this model.`,
      );
    }
    shards.set(tensor, shard);
  }
  if (shards.size === 0) throw new ModelError(file, `"weight_map" must name tensors, got none. ${again}`);
  return shards;
}

/** Checks a model_index.json; [null, null] marks a component that is absent. ModelError. */
export function modelIndex(json: JsonObject, file: string): ModelIndex {
  const { _class_name: className, ...rest } = json;
  if (typeof className !== "string") {
    throw new ModelError(file, `"_class_name" must name a pipeline, got ${describe(className)}. ${again}`);
  }
  const lists = Object.entries(rest).filter(([, value]) => Array.isArray(value));
  const components = lists.flatMap(([name, value]) => readComponent(name, value as unknown[], file));
  const settings = Object.fromEntries(Object.entries(rest).filter(([, value]) => !Array.isArray(value)));
  return { className, components: new Map(components), settings };
}

function readComponent(name: string, value: unknown[], file: string) {
  const [library, className] = value;
  if (value.length === 2 && library === null && className === null) return [];
  if (value.length !== 2 || typeof library !== "string" || typeof className !== "string") {
    const got = JSON.stringify(value).slice(0, 80);
    throw new ModelError(
      file,
      `${listed([name])} must be [library, class] or [null, null], got ${got}. ${again}`,
    );
  }
  if (!isInside(name) || name.includes("/")) {
    throw new ModelError(
      file,
      `a component must be the name of a folder, got ${listed([name])}. Correct the file.`,
    );
  }
  return [[name, { library, className }]] as const;
}

/** Whether a path in a model's file is inside its folder, on Windows too. */
export function isInside(path: unknown): path is string {
  if (typeof path !== "string" || path === "" || /[\\:\0]/.test(path)) return false;
  return path.split("/").every((step) => step !== "" && step !== "." && step !== "..");
}
