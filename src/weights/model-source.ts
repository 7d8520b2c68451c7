/**
 * @file Where a model comes from, as what opens it sees it: components by name, each with its config and its weights. A
 * Diffusers folder is one implementation (`folder.ts`), a single file another (`pipeline/single-file/`).
 */
import type { JsonObject } from "../files/json.js";
import type { WeightSet } from "./weight-set.js";

/** Which of several files to take. */
export type WeightChoice = {
  /** File variant such as "fp16"; plain files where a component does not have it. */
  variant?: string;
};

/** One component of a model. */
export type ModelComponent = {
  name: string;
  library: string;
  className: string;
  /** The folder or file that it lies in. */
  path: string;
  /** Its config.json, or what stands for it (a scheduler's scheduler_config.json, a tokenizer's own). */
  config(): Promise<JsonObject>;
  /** ModelError where it has none. */
  weights(choice?: WeightChoice): Promise<WeightSet>;
};

/** A tokenizer's folder; `padToken` counts instead of the token that its files name. */
export type TokenizerSource = { path: string; padToken?: string };

export type ModelSource = {
  /** The folder or file. */
  path: string;
  /** The pipeline's class in Diffusers. */
  className: string;
  /** The fields of model_index.json besides components. */
  settings: JsonObject;
  /** The components that are there, by name. */
  components: ReadonlyMap<string, ModelComponent>;
  /** ModelError for one that is not there. */
  component(name: string): ModelComponent;
  /** The tokenizer of that name; it may have to be downloaded. ModelError. */
  tokenizer(name: string): Promise<TokenizerSource>;
  /** Of a single file what it is, and what was skipped. */
  file?: SingleFileFacts;
};

/** What a single file showed. */
type SingleFileFacts = {
  /** The family of its U-Net, and the facts that show it. */
  family: string;
  reason: string;
  /** Components whose weights it lacks, with what they would be called in it. */
  absent: ReadonlyMap<string, string>;
  /** Tensors that belong to no component: those known to be of no use, and all others. */
  skipped: { known: readonly string[]; unknown: readonly string[] };
  /** What of its tensors and metadata changed a config, as sentences. */
  notes: readonly string[];
  metadata: Readonly<Record<string, string>>;
};
