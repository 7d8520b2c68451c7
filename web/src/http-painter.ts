/** @file Painting by `koala serve`: its jobs API (docs/api.md), in the types of its own schemas. */

import type {
  GenerationRequest,
  Job,
  JobImage,
  ModelList,
  PreviewEvent,
  Problem,
  StepEvent,
} from "../../src/serve/schemas.js";
import { type ServerEvent, serverEvents } from "./events.js";
import { KeyNeeded, type PaintEvent, type Painter, PaintFailure, Stopped, Unreachable } from "./painter.js";

export class HttpPainter implements Painter {
  readonly #key: () => string | undefined;

  /** `key` gives what a server that asks for one is sent. */
  constructor(key: () => string | undefined = () => undefined) {
    this.#key = key;
  }

  async models(): Promise<ModelList> {
    return (await (await this.#fetch("/api/models")).json()) as ModelList;
  }

  async *paint(request: GenerationRequest, signal: AbortSignal): AsyncGenerator<PaintEvent> {
    const body = JSON.stringify({ ...request, previews: true });
    const headers = { "content-type": "application/json" };
    const response = await this.#fetch("/api/jobs", { method: "POST", headers, body });
    const job = (await response.json()) as Job;
    yield { type: "accepted", id: job.id, settings: job.settings };
    yield* this.#following(job.id, signal);
  }

  async *follow(id: string, signal: AbortSignal): AsyncGenerator<PaintEvent> {
    const job = await this.#job(id);
    if (!job) return;
    yield { type: "accepted", id, settings: job.settings };
    yield* this.#following(id, signal);
  }

  async *#following(id: string, signal: AbortSignal): AsyncGenerator<PaintEvent> {
    const stop = () => void this.#fetch(`/api/jobs/${id}`, { method: "DELETE" }).catch(() => {});
    if (signal.aborted) stop();
    signal.addEventListener("abort", stop);
    const seen = new Set<number>();
    let last: Job | undefined;
    try {
      const connect = (lastId: string | undefined) =>
        this.#send(`/api/jobs/${id}/events`, {
          signal,
          ...(lastId !== undefined && { headers: { "last-event-id": lastId } }),
        });
      for await (const event of serverEvents(connect, signal)) {
        if (event.type === "state") last = event.data as Job;
        yield* this.#told(event, seen);
        // Whoever waits for the stream's end waits for the browser's next try.
        if (last && isOver(last)) break;
      }
    } finally {
      signal.removeEventListener("abort", stop);
    }
    if (signal.aborted) throw new Stopped();
    const job = last && isOver(last) ? last : await this.#job(id);
    if (!job) throw new PaintFailure("The server no longer knows this painting. Paint it again.");
    yield* this.#fetched(job.images, seen);
    if (job.state === "cancelled") throw new Stopped();
    if (job.error) {
      throw new PaintFailure(
        job.error.message,
        job.error.field === undefined ? {} : { field: job.error.field },
      );
    }
    if (job.state !== "done")
      throw new PaintFailure("The server stopped telling of this painting. Paint it again.");
  }

  async *#told(event: ServerEvent, seen: Set<number>): AsyncGenerator<PaintEvent> {
    switch (event.type) {
      case "state": {
        const { state, position, step, total, secondsLeft, images } = event.data as Job;
        if (state === "queued") yield { type: "queued", position };
        else yield { type: "step", step, total, secondsLeft };
        yield* this.#fetched(images, seen);
        return;
      }
      case "step":
        yield { type: "step", ...(event.data as StepEvent) };
        return;
      case "preview": {
        const { index, url } = event.data as PreviewEvent;
        if (!seen.has(index)) yield { type: "preview", index, url };
        return;
      }
      case "image":
        yield* this.#fetched([event.data as JobImage], seen);
        return;
      case "lost":
      case "found":
        yield { type: "connection", lost: event.type === "lost" };
        return;
      default:
        event satisfies never;
    }
  }

  async *#fetched(images: readonly JobImage[], seen: Set<number>): AsyncGenerator<PaintEvent> {
    for (const { index, seed, width, height, url, warnings = [] } of images) {
      if (seen.has(index)) continue;
      seen.add(index);
      const file = await (await this.#fetch(new URL(url, location.href).pathname)).blob();
      yield { type: "picture", picture: { index, seed, width, height, file, warnings } };
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

  /** Without the browser's own credentials: it would ask for a name and a password itself. */
  #send(path: string, init: RequestInit = {}): Promise<Response> {
    const headers = new Headers(init.headers);
    const key = this.#key();
    if (key !== undefined) headers.set("authorization", `Bearer ${key}`);
    return fetch(path, { ...init, headers, credentials: "omit" }).catch(unreachable);
  }
}

const isOver = ({ state }: Job): boolean => state === "done" || state === "failed" || state === "cancelled";

function unreachable(): never {
  throw new Unreachable(
    "The server does not answer. Is `koala serve` still running? Start it and try again.",
  );
}

async function failureIn(response: Response): Promise<PaintFailure> {
  if (response.status === 401) return new KeyNeeded();
  const seconds = Number(response.headers.get("retry-after"));
  const retry = seconds > 0 ? { retryAfter: seconds } : {};
  const problem = (await response.json().catch(() => undefined)) as Problem | undefined;
  if (!problem?.error) {
    return new PaintFailure(`The server answered ${response.status}. Its log says why.`, retry);
  }
  const { message, field } = problem.error;
  return new PaintFailure(message, { ...retry, ...(field !== undefined && { field }) });
}
