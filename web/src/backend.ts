/**
 * @file What the page needs of whoever generates. Today that is this server (`http-backend.ts`); one that generates in the
 * tab itself can take its place.
 */

import type { GenerationRequest, GenerationSettings, ModelList } from "../../src/jobs/schemas.js";
import type { TokenCount } from "../../src/text/token-count.js";

/** A finished image: `seed` generates this one alone again; `warnings` say what of the request was cut or changed. */
export type FinishedImage = {
  index: number;
  seed: string;
  width: number;
  height: number;
  file: Blob;
  warnings: readonly string[];
};

export type GenerationEvent =
  /** It was taken; `id` can be followed again after a reload. */
  | { type: "accepted"; id: string; settings: GenerationSettings }
  | { type: "queued"; position: number | null }
  | { type: "step"; step: number; total: number; secondsLeft: number | null }
  | { type: "preview"; index: number; url: string }
  | { type: "image"; image: FinishedImage }
  /** The way to the backend is interrupted, or is there again. */
  | { type: "connection"; lost: boolean };

export interface Backend {
  /** Which models there are, and what may be asked for. */
  models(): Promise<ModelList>;
  /** How many tokens each of the texts is to a model. */
  countTokens(model: string, texts: readonly string[], signal: AbortSignal): Promise<readonly TokenCount[]>;
  /**
   * Generates. Ends when all images were given; throws PaintFailure when it cannot be generated, and Stopped when
   * `signal` fired, which also stops the backend.
   */
  generate(request: GenerationRequest, signal: AbortSignal): AsyncIterable<GenerationEvent>;
  /** The same for what an earlier page began; ends at once where nobody knows it any more. */
  follow(id: string, signal: AbortSignal): AsyncIterable<GenerationEvent>;
}

/** Says what is wrong and what to do; `field` is the setting at fault. */
export class GenerationFailure extends Error {
  override name = "PaintFailure" as const;
  readonly field: string | undefined;
  /** In so many seconds it may go better. */
  readonly retryAfter: number | undefined;

  constructor(message: string, { field, retryAfter }: { field?: string; retryAfter?: number } = {}) {
    super(message);
    this.field = field;
    this.retryAfter = retryAfter;
  }
}

export class Stopped extends Error {
  override name = "Stopped" as const;
}

/** The backend is someone's own: it wants to be told a key, or another one. */
export class KeyNeeded extends GenerationFailure {
  constructor() {
    super("This server asks for a key. Open the page again and give it.");
  }
}

/** Nobody answers; what was begun may go on. */
export class ServerUnreachable extends GenerationFailure {}
