/** @file The job queue in the server's memory; jobs and their images are forgotten an hour after their end. */

import { Cancelled } from "../errors.js";
import { nextBatch } from "./batch.js";
import { failureOf, isForTheLog } from "./failure.js";
import { mostListed, mostWaitingBytes } from "./limits.js";
import type { JobProcessor, JobRequest, ProcessorEvent } from "./processor.js";
import { type Depth, Draining, isOver, type JobQueue, type JobStatus, QueueFull } from "./queue.js";
import type { StepPredictions } from "./schemas.js";
import { Subscribers } from "./subscribers.js";

export type MemoryQueueOptions = {
  /** Jobs that may wait. */
  most?: number;
  /** How long an ended job is remembered, and how many bytes of images. */
  keepMs?: number;
  keepBytes?: number;
  /** Called with every job that ended. */
  onEnd?: (job: JobStatus) => void;
  /** Called with errors that are not the request's. */
  onError?: (error: unknown) => void;
  /** Called when it is closed, as to close a processor that is this queue's own. */
  onClose?: () => Promise<void>;
};

type Entry = {
  status: JobStatus;
  request: JobRequest;
  controller: AbortController;
  subscribers: Subscribers;
  files: Map<number, Uint8Array>;
  preview?: Uint8Array;
};

export function memoryQueue(processor: JobProcessor, options: MemoryQueueOptions = {}): JobQueue {
  return new MemoryQueue(processor, options);
}

class MemoryQueue implements JobQueue {
  readonly #processor: JobProcessor;
  readonly #options: Required<MemoryQueueOptions>;
  /** In the order of submission. */
  readonly #jobs = new Map<string, Entry>();
  readonly #shared = new Map<string, string>();
  #waiting: Entry[] = [];
  #running: Entry[] = [];
  #work: Promise<void> | undefined;
  #closing = false;

  constructor(processor: JobProcessor, options: MemoryQueueOptions) {
    this.#processor = processor;
    const limits = { most: 64, keepMs: 3_600_000, keepBytes: 2 ** 29 };
    const callbacks = { onEnd: () => {}, onError: () => {}, onClose: async () => {} };
    this.#options = { ...limits, ...callbacks, ...options };
  }

  async opened(): Promise<void> {}

  async submit(request: JobRequest, api: string | null = null): Promise<JobStatus> {
    if (this.#closing) throw new Draining();
    this.#sweep();
    this.#refuseIfFull(request);
    const { steps, count } = request.settings;
    const status: JobStatus = {
      id: crypto.randomUUID(),
      state: "queued",
      position: this.#waiting.length + 1,
      step: 0,
      total: steps * count,
      secondsLeft: null,
      createdAt: Date.now(),
      startedAt: null,
      finishedAt: null,
      settings: request.settings,
      api,
      stopped: null,
      images: [],
      warnings: request.warnings,
      error: null,
    };
    const [controller, subscribers, files] = [new AbortController(), new Subscribers(), new Map()];
    const entry: Entry = { status, request, controller, subscribers, files };
    this.#jobs.set(status.id, entry);
    this.#waiting.push(entry);
    this.#work ??= this.#runAll();
    return entry.status;
  }

  async get(id: string): Promise<JobStatus | undefined> {
    this.#sweep();
    return this.#jobs.get(id)?.status;
  }

  async list(): Promise<readonly JobStatus[]> {
    this.#sweep();
    const latest = [...this.#jobs.values()].slice(-mostListed).reverse();
    return latest.map(({ status }) => status);
  }

  async live(): Promise<readonly JobStatus[]> {
    return [...this.#jobs.values()].map(({ status }) => status).filter(({ state }) => !isOver(state));
  }

  async cancel(id: string, how?: string): Promise<JobStatus | undefined> {
    const entry = this.#jobs.get(id);
    if (!entry || isOver(entry.status.state)) return entry?.status;
    entry.controller.abort();
    if (how !== undefined) entry.status = { ...entry.status, stopped: how };
    if (entry.status.state === "queued") {
      this.#waiting = this.#waiting.filter((other) => other !== entry);
      this.#end(entry, { state: "cancelled" });
      this.#renumber();
    }
    return entry.status;
  }

  async *events(id: string, signal?: AbortSignal) {
    const entry = this.#jobs.get(id);
    if (entry) yield* entry.subscribers.follow(entry.status, isOver(entry.status.state), signal);
  }

  async preview(id: string): Promise<Uint8Array | undefined> {
    return this.#jobs.get(id)?.preview;
  }

  async shared(name: string): Promise<string | undefined> {
    return this.#shared.get(name);
  }

  async share(name: string, text: string): Promise<void> {
    this.#shared.set(name, text);
  }

  async image(id: string, index: number) {
    this.#sweep();
    const entry = this.#jobs.get(id);
    const bytes = entry?.files.get(index);
    const mediaType = entry?.status.images.find((image) => image.index === index)?.mediaType;
    return bytes && mediaType ? { bytes, mediaType } : undefined;
  }

  async depth(): Promise<Depth> {
    return { queued: this.#waiting.length, running: this.#running.length };
  }

  async health(): Promise<{ ok: true } | { ok: false; reason: string }> {
    return this.#closing ? { ok: false, reason: "stopping" } : { ok: true };
  }

  async close({ graceSeconds = 30 }: { graceSeconds?: number } = {}): Promise<void> {
    this.#closing = true;
    for (const { status } of [...this.#waiting]) await this.cancel(status.id);
    const timer = setTimeout(() => {
      for (const { controller } of this.#running) controller.abort();
    }, graceSeconds * 1000);
    await this.#work;
    clearTimeout(timer);
    await this.#options.onClose();
  }

  #refuseIfFull(request: JobRequest): void {
    const bytesOf = ({ image, mask }: JobRequest) => (image?.length ?? 0) + (mask?.length ?? 0);
    const bytes = this.#waiting.reduce((sum, entry) => sum + bytesOf(entry.request), bytesOf(request));
    const { most } = this.#options;
    if (this.#waiting.length < most && bytes <= mostWaitingBytes) return;
    throw new QueueFull(most, this.#running[0]?.status.secondsLeft);
  }

  /** One batch after the other. */
  async #runAll(): Promise<void> {
    // Jobs that are submitted in one turn of the event loop can then share a batch.
    await new Promise((resolve) => setTimeout(resolve, 0));
    while (this.#waiting.length > 0) {
      const batch = nextBatch(this.#waiting, ({ request }) => request);
      this.#waiting = this.#waiting.filter((entry) => !batch.includes(entry));
      this.#running = batch;
      this.#renumber();
      await this.#runBatch(batch);
      this.#running = [];
    }
    this.#work = undefined;
  }

  async #runBatch(batch: readonly Entry[]): Promise<void> {
    for (const entry of batch)
      this.#change(entry, { state: "running", position: null, startedAt: Date.now() });
    const jobs = batch.map(({ request, controller }) => ({ request, signal: controller.signal }));
    const streams = this.#processor.process(jobs);
    await Promise.all(batch.map((entry, i) => this.#follow(entry, streams[i]!)));
  }

  async #follow(entry: Entry, events: AsyncIterable<ProcessorEvent>): Promise<void> {
    try {
      for await (const event of events) this.#take(entry, event);
      this.#end(entry, { state: "done" });
    } catch (error) {
      if (error instanceof Cancelled) return this.#end(entry, { state: "cancelled" });
      if (isForTheLog(error)) this.#options.onError(error);
      this.#end(entry, { state: "failed", error: failureOf(error) });
    }
  }

  #take(entry: Entry, event: ProcessorEvent): void {
    switch (event.type) {
      case "step": {
        const { step, total, secondsLeft } = event;
        entry.status = { ...entry.status, step, total, secondsLeft };
        entry.subscribers.emit(event);
        break;
      }
      case "preview":
        entry.preview = event.bytes;
        entry.subscribers.emit(event);
        break;
      case "image": {
        const { bytes, ...image } = event.image;
        entry.files.set(image.index, bytes);
        entry.status = { ...entry.status, images: [...entry.status.images, image] };
        entry.subscribers.emit({ type: "image", image });
        break;
      }
      default:
        event satisfies never;
    }
  }

  #change(entry: Entry, change: Partial<JobStatus>): void {
    entry.status = { ...entry.status, ...change };
    entry.subscribers.emit({ type: "state", job: entry.status });
  }

  #end(entry: Entry, change: Partial<JobStatus>): void {
    const { image: _, mask: __, ...kept } = entry.request;
    entry.request = kept;
    delete entry.preview;
    this.#change(entry, { ...change, position: null, secondsLeft: null, finishedAt: Date.now() });
    entry.subscribers.end();
    this.#options.onEnd(entry.status);
  }

  #renumber(): void {
    for (const [i, entry] of this.#waiting.entries()) {
      if (entry.status.position !== i + 1) this.#change(entry, { position: i + 1 });
    }
  }

  /** Forgets what ended too long ago, and the oldest of what takes too much memory. */
  #sweep(): void {
    const { keepMs, keepBytes } = this.#options;
    const ended = [...this.#jobs.values()].filter(({ status }) => status.finishedAt !== null);
    ended.sort((a, b) => b.status.finishedAt! - a.status.finishedAt!);
    let [bytes, jobs] = [0, 0];
    for (const { status, files } of ended) {
      for (const file of files.values()) bytes += file.length;
      for (const { stepPredictions: kept } of status.images) bytes += kept ? lengthOf(kept) : 0;
      const old = Date.now() - status.finishedAt! > keepMs;
      if (old || bytes > keepBytes || ++jobs > mostRemembered) this.#jobs.delete(status.id);
    }
  }
}

const mostRemembered = 2000;

/** Characters of the images of steps, which are a byte each. */
const lengthOf = ({ steps }: StepPredictions): number =>
  steps.reduce(
    (sum, { guided, prompt = "", negative = "" }) => sum + guided.length + prompt.length + negative.length,
    0,
  );
