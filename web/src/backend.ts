/**
 * @file The interface through which the page generates images: `http-backend.ts` by the server, `tab-backend.ts` in the
 * tab.
 */

import type { DownloadedModel } from "../../src/hub/downloaded-models.js";
import type { ModelList } from "../../src/jobs/model-schemas.js";
import type {
  GenerationRequest,
  Job,
  StepPredictions,
  TokensRequest,
  WordMaps,
} from "../../src/jobs/schemas.js";
import type { AddEvent, AddedModel, AddModel, TabEvent, TabImage } from "../../src/tab/protocol.js";
import type { TokenCount } from "../../src/text/token-count.js";

/** A finished image. `seed` alone generates it again; `warnings` say what of the request was cut or changed. */
export type FinishedImage = Omit<TabImage, "wordMaps" | "stepPredictions">;

export type GenerationEvent =
  | TabEvent
  /** The connection to the backend was lost, or is restored. */
  | { type: "connection"; lost: boolean };

/** `progress` is called with the steps done, of how many. */
export type ExplainOptions = { signal: AbortSignal; progress: (step: number, total: number) => void };

export type Explanation = {
  file: Blob;
  guidanceScale: number;
  wordMaps: WordMaps;
  steps: StepPredictions;
};

export interface Backend {
  /** The models and their limits. */
  models(): Promise<ModelList>;
  /** The number of tokens of each text, by a model's tokenizers. */
  countTokens(request: TokensRequest, signal: AbortSignal): Promise<readonly TokenCount[]>;
  /**
   * Generates; ends after the last image. Throws a GenerationFailure if it fails. When `signal` fires, the backend is
   * stopped too and GenerationCancelled is thrown.
   */
  generate(request: GenerationRequest, signal: AbortSignal): AsyncIterable<GenerationEvent>;
  /** Generates one image again and gives where each word of its prompt went. */
  wordMaps(request: GenerationRequest, signal: AbortSignal): Promise<WordMaps>;
  /** Generates one image and gives what happened inside: its words' maps and what each step predicted. */
  explain(request: GenerationRequest, options: ExplainOptions): Promise<Explanation>;
  /** The same events for a job of an earlier page; ends at once if the job is not known. */
  follow(id: string, signal: AbortSignal): AsyncIterable<GenerationEvent>;
  /** All jobs that wait or run, also those of other clients. */
  unfinishedJobs(): Promise<readonly Job[]>;
  cancelJob(id: string): Promise<void>;
  /** Where the page may choose any model. */
  readonly ownModels?: OwnModels;
}

/** Models that the visitor adds, kept in the browser. */
export interface OwnModels {
  /** Opens one; of one that is yet to be downloaded the bytes, unless that is agreed to. GenerationCancelled by the signal. */
  add(
    request: AddModel,
    options: { signal: AbortSignal; onEvent: (event: AddEvent) => void },
  ): Promise<AddedModel | { bytes: number }>;
  /** All that are stored, whole or in part. */
  stored(): Promise<readonly DownloadedModel[]>;
  /** Deletes one, by its id on the Hub; the models that are left. */
  remove(id: string): Promise<ModelList>;
}

/** The message says what is wrong and what to do; `field` is the setting at fault. */
export class GenerationFailure extends Error {
  override name: string = "GenerationFailure";
  readonly field: string | undefined;

  constructor(message: string, field?: string) {
    super(message);
    this.field = field;
  }
}

export class GenerationCancelled extends Error {
  override name = "GenerationCancelled" as const;
}

/** The server requires an API key, or another one than was given. */
export class KeyRequired extends GenerationFailure {
  override name = "KeyRequired" as const;

  constructor() {
    super("This server requires an API key. Reload the page and enter it.");
  }
}

/** The server does not answer; a job that it accepted may go on. */
export class ServerUnreachable extends GenerationFailure {
  override name = "ServerUnreachable" as const;
}
