/** @file What the page and its Worker say to each other when images are generated in the tab, as types. */

import type { Call } from "../calls.js";
import type { DownloadedModel } from "../hub/downloaded-models.js";
import type { ModelList } from "../jobs/model-schemas.js";
import type {
  GenerationRequest,
  GenerationSettings,
  Job,
  StepPredictions,
  TokensRequest,
  WordMaps,
} from "../jobs/schemas.js";
import type { TokenCount } from "../text/token-count.js";

/** What the Worker opens. */
export type TabOptions = {
  /** Models by Hub id or the URL of their folder (docs/browser.md); the first is the default of requests. */
  models: readonly string[];
  /** Further ones that the visitor added, of which one that cannot be opened is no error. */
  added: readonly string[];
  /** The URL of the folder with ONNX Runtime's `.mjs` and `.wasm` files, with a slash at its end. */
  ort: string;
};

/** A finished image: a whole file, and what was asked for of its making. */
export type TabImage = {
  index: number;
  seed: string;
  width: number;
  height: number;
  file: Blob;
  warnings: readonly string[];
  wordMaps?: WordMaps;
  stepPredictions?: StepPredictions;
};

export type TabEvent =
  /** The request is accepted; `id` names its job. */
  | { type: "accepted"; id: string; settings: GenerationSettings }
  | { type: "queued"; position: number | null }
  /** What it waits for before its first step, such as another tab; null once nothing is in the way. */
  | { type: "status"; text: string | null }
  | { type: "step"; step: number; total: number; secondsLeft: number | null }
  | { type: "preview"; index: number; url: string }
  | { type: "image"; image: TabImage };

/** `problems` are of the added models that could not be opened. */
type OpenedModels = { list: ModelList; problems: readonly { name: string; message: string }[] };

/** A model by its Hub id, with the Hub's token if it is gated, or the URL of its folder; `agreed` to its download. */
export type AddModel = { name: string; token?: string | undefined; agreed: boolean };
/** What is done meanwhile. */
export type AddEvent = { text: string } | { done: number; total: number; secondsLeft: number | null };
/** `id` is that of the new one, `name` what opens the same again. */
export type AddedModel = { list: ModelList; id: string; name: string };

export type TabMethods = {
  /** To be called first. Reads the models' configs and tokenizers, and no weights. */
  open(options: TabOptions): Promise<OpenedModels>;
  /** Opens one more; of one that is yet to be downloaded the bytes, unless that is agreed to. The signal stops a download. */
  addModel(request: AddModel, call: Call<AddEvent>): Promise<AddedModel | { bytes: number }>;
  /** Models of the Hub in the browser's storage, whole or in part. */
  storedModels(): Promise<readonly DownloadedModel[]>;
  /** Deletes one, by its id on the Hub. */
  removeModel(id: string): Promise<ModelList>;
  countTokens(request: TokensRequest): Promise<readonly TokenCount[]>;
  /**
   * Ends after the last image. InvalidRequest, or what the job failed by; Cancelled after the first signal has fired, at
   * the end of the network call that runs then.
   */
  generate(request: GenerationRequest, call: Call<TabEvent>): Promise<void>;
  /** Those that wait or run. */
  unfinishedJobs(): Promise<readonly Job[]>;
  cancelJob(id: string): Promise<void>;
};
