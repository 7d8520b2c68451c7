/** @file The backend of the page: a client of the jobs API of `koala serve` (docs/http-api.md). */

import type { ModelList } from "../../src/jobs/model-schemas.js";
import { isOver } from "../../src/jobs/queue.js";
import type {
  GenerationRequest,
  Job,
  JobImage,
  JobList,
  Problem,
  StepPredictions,
  TokenCounts,
  TokensRequest,
  WordMaps,
} from "../../src/jobs/schemas.js";
import {
  type Backend,
  type ExplainOptions,
  type Explanation,
  GenerationCancelled,
  type GenerationEvent,
  GenerationFailure,
  KeyRequired,
  ServerUnreachable,
} from "./backend.js";
import type { ServerEvent } from "./events.js";
import { JobEvents } from "./job-events.js";

export class HttpBackend implements Backend {
  readonly #key: () => string | undefined;
  readonly #events = new JobEvents((ids, lastId, signal) =>
    this.#send(`/api/events?jobs=${ids.join(",")}`, {
      signal,
      ...(lastId !== undefined && { headers: { "last-event-id": lastId } }),
    }),
  );

  /** `key` returns the API key to send, if any. */
  constructor(key: () => string | undefined = () => undefined) {
    this.#key = key;
  }

  async models(): Promise<ModelList> {
    return (await (await this.#fetch("/api/models")).json()) as ModelList;
  }

  async countTokens(request: TokensRequest, signal: AbortSignal) {
    const init = { ...posted(request), signal };
    return ((await (await this.#fetch("/api/tokens", init)).json()) as TokenCounts).texts;
  }

  async *generate(request: GenerationRequest, signal: AbortSignal): AsyncGenerator<GenerationEvent> {
    const response = await this.#fetch("/api/jobs", posted({ ...request, previews: true }));
    const job = (await response.json()) as Job;
    yield { type: "accepted", id: job.id, settings: job.settings };
    yield* this.#eventsOf(job.id, signal);
  }

  async wordMaps(request: GenerationRequest, signal: AbortSignal): Promise<WordMaps> {
    const response = await this.#fetch("/api/jobs", posted({ ...request, count: 1, attentionMaps: true }));
    const { id } = (await response.json()) as Job;
    for await (const _ of this.#eventsOf(id, signal)); // to its end; throws where it fails
    return (await (await this.#fetch(`/api/jobs/${id}/images/0/attention`)).json()) as WordMaps;
  }

  async explain(request: GenerationRequest, { signal, progress }: ExplainOptions): Promise<Explanation> {
    const asked = { ...request, count: 1, attentionMaps: true, explainSteps: true };
    const { id, settings } = (await (await this.#fetch("/api/jobs", posted(asked))).json()) as Job;
    let file: Blob | undefined;
    for await (const event of this.#eventsOf(id, signal)) {
      if (event.type === "step") progress(event.step, event.total);
      if (event.type === "image") file = event.image.file;
    }
    const of = async (what: string) => (await this.#fetch(`/api/jobs/${id}/images/0/${what}`)).json();
    const [wordMaps, steps] = await Promise.all([of("attention"), of("steps")]);
    const { guidanceScale } = settings;
    return { file: file!, guidanceScale, wordMaps: wordMaps as WordMaps, steps: steps as StepPredictions };
  }

  async *follow(id: string, signal: AbortSignal): AsyncGenerator<GenerationEvent> {
    const job = await this.#job(id);
    if (!job) return;
    yield { type: "accepted", id, settings: job.settings };
    yield* this.#eventsOf(id, signal);
  }

  async unfinishedJobs(): Promise<readonly Job[]> {
    return ((await (await this.#fetch("/api/jobs?unfinished=true")).json()) as JobList).jobs;
  }

  async cancelJob(id: string): Promise<void> {
    await this.#fetch(`/api/jobs/${id}`, { method: "DELETE" });
  }

  async *#eventsOf(id: string, signal: AbortSignal): AsyncGenerator<GenerationEvent> {
    const stop = () => void this.cancelJob(id).catch(() => {});
    if (signal.aborted) stop();
    signal.addEventListener("abort", stop);
    const seen = new Set<number>();
    let last: Job | undefined;
    try {
      for await (const event of this.#events.follow(id, signal)) {
        if (event.type === "state") last = event.data;
        yield* this.#converted(event, last, seen);
      }
    } finally {
      signal.removeEventListener("abort", stop);
    }
    if (signal.aborted) throw new GenerationCancelled();
    const job = last && isOver(last.state) ? last : await this.#job(id);
    if (!job) throw new GenerationFailure("The server no longer has this job. Generate again.");
    yield* this.#newImages(job.images, job, seen);
    if (job.state === "cancelled") throw new GenerationCancelled();
    if (job.error) throw new GenerationFailure(job.error.message, job.error.field);
    if (job.state !== "done")
      throw new GenerationFailure(
        "The server ended the events of this job before its result. Generate again.",
      );
  }

  async *#converted(
    event: ServerEvent,
    job: Job | undefined,
    seen: Set<number>,
  ): AsyncGenerator<GenerationEvent> {
    switch (event.type) {
      case "state": {
        const { state, position, step, total, secondsLeft, images } = event.data;
        if (state === "queued") yield { type: "queued", position };
        else yield { type: "step", step, total, secondsLeft };
        yield* this.#newImages(images, event.data, seen);
        return;
      }
      case "step": {
        const { step, total, secondsLeft } = event.data;
        yield { type: "step", step, total, secondsLeft };
        return;
      }
      case "preview": {
        const { index, url } = event.data;
        if (!seen.has(index)) yield { type: "preview", index, url };
        return;
      }
      case "image":
        yield* this.#newImages([event.data], job, seen);
        return;
      case "gone":
        return;
      case "lost":
      case "found":
        yield { type: "connection", lost: event.type === "lost" };
        return;
      default:
        event satisfies never;
    }
  }

  async *#newImages(
    images: readonly JobImage[],
    job: Job | undefined,
    seen: Set<number>,
  ): AsyncGenerator<GenerationEvent> {
    for (const { index, seed, width, height, url, warnings: own = [] } of images) {
      if (seen.has(index)) continue;
      seen.add(index);
      const warnings = [...new Set([...(job ? warningsOfAll(job) : []), ...own])];
      const file = await (await this.#fetch(new URL(url, location.href).pathname)).blob();
      yield { type: "image", image: { index, seed, width, height, file, warnings } };
    }
  }

  async #job(id: string): Promise<Job | undefined> {
    const response = await this.#send(`/api/jobs/${id}`);
    return response.ok ? ((await response.json()) as Job) : undefined;
  }

  async #fetch(path: string, init: RequestInit = {}): Promise<Response> {
    const response = await this.#send(path, init);
    if (!response.ok) throw await failureIn(response);
    return response;
  }

  /** Without the browser's credentials: with them, it would open its own dialog for a name and a password. */
  #send(path: string, init: RequestInit = {}): Promise<Response> {
    const headers = new Headers(init.headers);
    const key = this.#key();
    if (key !== undefined) headers.set("authorization", `Bearer ${key}`);
    return fetch(path, { ...init, headers, credentials: "omit" }).catch(unreachable);
  }
}

/** The warnings that concern no single image of the job. */
const warningsOfAll = ({ warnings, images }: Job): string[] =>
  warnings.filter((warning) => !images.some((image) => image.warnings?.includes(warning)));

const posted = (body: object): RequestInit => ({
  method: "POST",
  headers: { "content-type": "application/json" },
  body: JSON.stringify(body),
});

function unreachable(): never {
  throw new ServerUnreachable(
    "The server does not answer. Is `koala serve` still running? Start it and try again.",
  );
}

async function failureIn(response: Response): Promise<GenerationFailure> {
  if (response.status === 401) return new KeyRequired();
  const problem = (await response.json().catch(() => undefined)) as Problem | undefined;
  if (!problem?.error) {
    return new GenerationFailure(`The server answered ${response.status}. Its log says why.`);
  }
  return new GenerationFailure(problem.error.message, problem.error.field);
}
