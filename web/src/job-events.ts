/**
 * @file The events of all jobs that this tab follows, over one connection, since browsers open only six to a server
 * that speaks HTTP/1.1. Following another job reconnects with the new list; every connection begins with the state of
 * each job, so nothing is missed in between. A hidden tab polls instead, so that any number of tabs can have jobs.
 */

import { Channel } from "../../src/jobs/channel.js";
import { mostFollowed } from "../../src/jobs/limits.js";
import { isOver } from "../../src/jobs/queue.js";
import { pause, type ServerEvent, serverEvents } from "./events.js";

/** Requests the events of these jobs from the server. */
export type ConnectJobs = (
  ids: readonly string[],
  lastId: string | undefined,
  signal: AbortSignal,
) => Promise<Response>;

/** The part of `document` that is used. */
export type Visibility = Pick<Document, "hidden" | "addEventListener">;

/** Between two polls of a hidden tab. */
const pollMs = 5000;

type Subscription = { id: string; events: Channel<ServerEvent> };

export class JobEvents {
  readonly #connect: ConnectJobs;
  readonly #page: Visibility;
  readonly #subscribers = new Set<Subscription>();
  /** Aborts the current connection or attempt. */
  #connection = new AbortController();
  #running = false;
  #lost = false;

  constructor(connect: ConnectJobs, page: Visibility = document) {
    this.#connect = connect;
    this.#page = page;
    page.addEventListener("visibilitychange", () => this.#connection.abort());
  }

  /** A job's events, beginning with its current state. Ends when the job is over or unknown, or the signal fires. */
  async *follow(id: string, signal: AbortSignal): AsyncGenerator<ServerEvent, void> {
    const subscription: Subscription = { id, events: new Channel() };
    const leave = () => subscription.events.end();
    if (signal.aborted) return;
    signal.addEventListener("abort", leave);
    this.#subscribers.add(subscription);
    this.#connection.abort();
    void this.#run();
    try {
      yield* subscription.events;
    } finally {
      signal.removeEventListener("abort", leave);
      this.#subscribers.delete(subscription);
      if (this.#subscribers.size === 0) this.#connection.abort();
    }
  }

  async #run(): Promise<void> {
    if (this.#running) return;
    this.#running = true;
    try {
      // One microtask later, so that jobs that are followed together share the first connection.
      for (await Promise.resolve(); this.#subscribers.size > 0; ) await this.#connected();
    } finally {
      this.#running = false;
      for (const { events } of this.#subscribers) events.end();
    }
  }

  /** One connection, until all of its jobs are over or the list changes. */
  async #connected(): Promise<void> {
    const { signal } = (this.#connection = new AbortController());
    const ids = this.#ids().slice(0, mostFollowed);
    const withoutEvent = new Set(ids);
    for await (const event of serverEvents((lastId) => this.#connect(ids, lastId, signal), signal)) {
      if (signal.aborted) return;
      if (event.type === "lost" || event.type === "found") this.#emitAll(event);
      else {
        const job = event.type === "state" ? event.data.id : event.data.job;
        this.#emit(job, event);
        withoutEvent.delete(job);
        if (this.#page.hidden && withoutEvent.size === 0) return pause(pollMs, signal);
      }
    }
    if (!signal.aborted) this.#end(ids);
  }

  #ids(): string[] {
    return [...new Set([...this.#subscribers].map(({ id }) => id))];
  }

  #emitAll(event: ServerEvent & { type: "lost" | "found" }): void {
    this.#lost = event.type === "lost";
    for (const { events } of this.#subscribers) events.push(event);
  }

  #emit(job: string, event: ServerEvent): void {
    // The first event after a loss may come over a connection with another list.
    if (this.#lost) this.#emitAll({ type: "found" });
    for (const subscription of this.#subscribers)
      if (subscription.id === job) subscription.events.push(event);
    const over = event.type === "gone" || (event.type === "state" && isOver(event.data.state));
    if (over) this.#end([job]);
  }

  /** Ends the subscriptions of jobs that are over. */
  #end(ids: readonly string[]): void {
    const more = this.#ids().length > mostFollowed;
    for (const subscription of this.#subscribers) {
      if (!ids.includes(subscription.id)) continue;
      subscription.events.end();
      this.#subscribers.delete(subscription);
    }
    if (more) this.#connection.abort();
  }
}
