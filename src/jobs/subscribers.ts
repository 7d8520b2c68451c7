/** @file The subscribers of a job's events. A slow one misses steps and previews that later ones replace, nothing else. */

import { Channel } from "./channel.js";
import type { JobEvent, JobStatus } from "./queue.js";

export class Subscribers {
  readonly #channels = new Set<Channel<JobEvent>>();

  emit(event: JobEvent): void {
    for (const channel of this.#channels) {
      channel.forget((earlier) => replaces(event, earlier));
      channel.push(event);
    }
  }

  end(): void {
    for (const channel of this.#channels) channel.end();
  }

  /** The state `now`, then the events until the job ends. */
  async *follow(now: JobStatus, over: boolean, signal?: AbortSignal): AsyncGenerator<JobEvent, void> {
    const channel = new Channel<JobEvent>();
    channel.push({ type: "state", job: now });
    if (over) channel.end();
    const leave = () => channel.end();
    if (signal?.aborted) return;
    signal?.addEventListener("abort", leave, { once: true });
    this.#channels.add(channel);
    try {
      yield* channel;
    } finally {
      this.#channels.delete(channel);
      signal?.removeEventListener("abort", leave);
    }
  }
}

function replaces(later: JobEvent, earlier: JobEvent): boolean {
  if (later.type === "step") return earlier.type === "step";
  return later.type === "preview" && earlier.type === "preview" && later.index === earlier.index;
}
