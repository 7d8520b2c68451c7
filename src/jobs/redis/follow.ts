/**
 * @file The events of a job that another process generates. Steps and previews come through a channel and may be lost;
 * states and images are read from the job's log, at a message in the channel.
 */

import { Channel } from "../channel.js";
import { dataLost } from "../failure.js";
import { isOver, type JobEvent, type JobStatus } from "../queue.js";
import { type Listener, missed, type Subscriptions } from "./connection.js";
import { outageOf } from "./outage.js";
import type { JobStore, Live, LogEntry, Snapshot } from "./store.js";

type News = Live | { type: "moved" };

/** The log is read this often without a message, in case one was lost. */
const lookSeconds = 5;

export async function* follow(
  store: JobStore,
  subscriptions: Subscriptions,
  id: string,
  signal: AbortSignal,
): AsyncGenerator<JobEvent, void> {
  const messages = new Channel<News>();
  const take = (news: News) => {
    messages.forget((earlier) => replaces(news, earlier));
    messages.push(news);
  };
  const leave = () => messages.end();
  signal.addEventListener("abort", leave, { once: true });
  const timer = setInterval(() => take({ type: "log" }), lookSeconds * 1000);
  const stops: (() => void)[] = [];
  const listen = async (channel: string, listener: Listener) => {
    stops.push(await subscriptions.listen(channel, listener));
  };
  try {
    if (signal.aborted) return;
    await listen(store.key("job", id, "live"), ({ value }) => take(value as Live));
    // Read only now, so that nothing falls between the two.
    const snapshot = await store.read(id);
    if (!snapshot) return;
    const { model } = snapshot.status.settings;
    if (snapshot.status.state === "queued")
      await listen(store.key("moves", model), (message) =>
        take({ type: message === missed ? "log" : "moved" }),
      );
    yield* eventsAfter(store, snapshot, messages, signal);
  } finally {
    clearInterval(timer);
    signal.removeEventListener("abort", leave);
    for (const stop of stops) stop();
  }
}

async function* eventsAfter(
  store: JobStore,
  { status, at }: Snapshot,
  messages: AsyncIterable<News>,
  signal: AbortSignal,
): AsyncGenerator<JobEvent, void> {
  let job = status;
  yield { type: "state", job };
  if (isOver(job.state)) return;
  for await (const message of messages) {
    if (signal.aborted) return;
    switch (message.type) {
      case "log":
        for (const { at: entryId, entry } of (await unlessDown(store.log(job.id, at))) ?? []) {
          at = entryId;
          job = await after(store, job, entry);
          yield entry.type === "image" ? { type: "image", image: entry.image } : { type: "state", job };
          if (isOver(job.state)) return;
        }
        if ((await unlessDown(store.exists(job.id))) !== false) break;
        yield { type: "state", job: lost(job) };
        return;
      case "moved": {
        const position = job.state === "queued" ? await positionOf(store, job.id) : null;
        if (position === null || position === job.position) break;
        job = { ...job, position };
        yield { type: "state", job };
        break;
      }
      case "step":
        // An earlier one is in the snapshot already.
        if (job.state !== "running" || message.step <= job.step) break;
        job = { ...job, step: message.step, total: message.total, secondsLeft: message.secondsLeft };
        yield message;
        break;
      case "preview": {
        const { base64, ...rest } = message;
        yield { ...rest, bytes: Buffer.from(base64, "base64") };
        break;
      }
      default:
        message satisfies never;
    }
  }
}

async function after(store: JobStore, job: JobStatus, entry: LogEntry): Promise<JobStatus> {
  if (entry.type === "image") return { ...job, images: [...job.images, entry.image] };
  const { state } = entry.change;
  const position = state === "queued" ? await positionOf(store, job.id) : null;
  return { ...job, ...entry.change, position };
}

/** A job whose record Redis lost: no further event of it will come. */
const lost = (job: JobStatus): JobStatus => ({
  ...job,
  state: "failed",
  position: null,
  secondsLeft: null,
  finishedAt: Date.now(),
  error: dataLost,
});

const positionOf = async (store: JobStore, id: string): Promise<number | null> =>
  (await unlessDown(store.read(id)))?.status.position ?? null;

/** Undefined during an outage, after which the log is read again. */
async function unlessDown<T>(answer: Promise<T>): Promise<T | undefined> {
  try {
    return await answer;
  } catch (error) {
    if (outageOf(error) !== undefined) return undefined;
    throw error;
  }
}

/** Whether a later message replaces one that waits. */
function replaces(later: News, earlier: News): boolean {
  if (later.type !== earlier.type) return false;
  return later.type !== "preview" || (earlier.type === "preview" && earlier.index === later.index);
}
