/**
 * @file The events of all jobs that this tab follows, over one connection: browsers open six to a server that speaks
 * HTTP/1.1, and images, requests and other tabs need some too. When another job is followed, it connects again with
 * the new list; every connection begins with the state of each job, so nothing is missed in between. A tab that nobody
 * sees asks now and then instead, so that any number of tabs can have jobs.
 */

import { Channel } from "../../src/jobs/channel.js";
import { mostFollowed } from "../../src/jobs/limits.js";
import { isOver } from "../../src/jobs/queue.js";
import { pause, type ServerEvent, serverEvents } from "./events.js";

/** Asks the server for the events of these jobs. */
export type ConnectJobs = (
  ids: readonly string[],
  lastId: string | undefined,
  signal: AbortSignal,
) => Promise<Response>;

/** What is needed of a document. */
export type Visibility = Pick<Document, "hidden" | "addEventListener">;

/** Between two looks of a tab that nobody sees. */
const lookMs = 5000;

type Follower = { id: string; events: Channel<ServerEvent> };

export class JobEvents {
  readonly #connect: ConnectJobs;
  readonly #page: Visibility;
  readonly #subscribers = new Set<Follower>();
  /** The connection there is, or the one that is tried. */
  #connection = new AbortController();
  #running = false;
  #lost = false;

  constructor(connect: ConnectJobs, page: Visibility = document) {
    this.#connect = connect;
    this.#page = page;
    page.addEventListener("visibilitychange", () => this.#connection.abort());
  }

  /** A job's events from its state now. Ends when the job is over or not known, and when the signal fires. */
  async *follow(id: string, signal: AbortSignal): AsyncGenerator<ServerEvent, void> {
    const follower: Follower = { id, events: new Channel() };
    const leave = () => follower.events.end();
    if (signal.aborted) return;
    signal.addEventListener("abort", leave);
    this.#subscribers.add(follower);
    this.#connection.abort();
    void this.#run();
    try {
      yield* follower.events;
    } finally {
      signal.removeEventListener("abort", leave);
      this.#subscribers.delete(follower);
      if (this.#subscribers.size === 0) this.#connection.abort();
    }
  }

  async #run(): Promise<void> {
    if (this.#running) return;
    this.#running = true;
    try {
      // A turn later, so that jobs that are followed together are asked for together.
      for (await Promise.resolve(); this.#subscribers.size > 0; ) await this.#connected();
    } finally {
      this.#running = false;
      for (const { events } of this.#subscribers) events.end();
    }
  }

  /** One list of jobs, until all of them are over or another list is wanted. */
  async #connected(): Promise<void> {
    const { signal } = (this.#connection = new AbortController());
    const ids = this.#ids().slice(0, mostFollowed);
    const notEmitted = new Set(ids);
    for await (const event of serverEvents((lastId) => this.#connect(ids, lastId, signal), signal)) {
      if (signal.aborted) return;
      if (event.type === "lost" || event.type === "found") this.#emitAll(event);
      else {
        const job = event.type === "state" ? event.data.id : event.data.job;
        this.#pass(job, event);
        notEmitted.delete(job);
        if (this.#page.hidden && notEmitted.size === 0) return pause(lookMs, signal);
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

  #pass(job: string, event: ServerEvent): void {
    // A connection that was lost may be found by one with another list.
    if (this.#lost) this.#emitAll({ type: "found" });
    for (const follower of this.#subscribers) if (follower.id === job) follower.events.push(event);
    const over = event.type === "gone" || (event.type === "state" && isOver(event.data.state));
    if (over) this.#end([job]);
  }

  /** Those jobs have nothing more to tell. */
  #end(ids: readonly string[]): void {
    const more = this.#ids().length > mostFollowed;
    for (const follower of this.#subscribers) {
      if (!ids.includes(follower.id)) continue;
      follower.events.end();
      this.#subscribers.delete(follower);
    }
    if (more) this.#connection.abort();
  }
}
