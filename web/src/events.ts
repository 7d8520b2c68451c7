/** @file Server-sent events by `fetch`, which, unlike EventSource, can send an API key. Reconnects when it is cut off. */

import { type EventSourceMessage, EventSourceParserStream } from "eventsource-parser/stream";
import type { GoneEvent, ImageEvent, Job, PreviewEvent, StepEvent } from "../../src/jobs/schemas.js";

/** The events of the server, and the loss and restoration of the connection. */
export type ServerEvent =
  | { type: "state"; data: Job }
  | { type: "step"; data: StepEvent }
  | { type: "preview"; data: PreviewEvent }
  | { type: "image"; data: ImageEvent }
  | { type: "gone"; data: GoneEvent }
  | { type: "lost" }
  | { type: "found" };

type Connect = (lastId: string | undefined) => Promise<Response>;

const types = ["state", "step", "preview", "image", "gone"] as const;
const retryMs = 2000;

/** Ends after an event with id "end", at a response without content or with an error of the client, or by the signal. */
export async function* serverEvents(connect: Connect, signal: AbortSignal): AsyncGenerator<ServerEvent> {
  let lastId: string | undefined;
  let lost = false;
  while (!signal.aborted && lastId !== "end") {
    const response = await connect(lastId).catch(() => undefined);
    if (signal.aborted || response?.status === 204 || (response && response.status < 500 && !response.ok))
      return;
    if (response?.ok && response.body) {
      if (lost) yield { type: "found" };
      lost = false;
      for await (const { id, event, data } of messages(response.body)) {
        if (id !== undefined) lastId = id;
        const type = types.find((known) => known === event);
        if (type) yield { type, data: JSON.parse(data) } as ServerEvent;
      }
    }
    if (signal.aborted || lastId === "end") return;
    if (!lost) yield { type: "lost" };
    lost = true;
    await pause(retryMs, signal);
  }
}

/** The messages of an event stream. A broken connection ends them like a closed one. */
async function* messages(body: ReadableStream<Uint8Array<ArrayBuffer>>): AsyncGenerator<EventSourceMessage> {
  const parsed = body.pipeThrough(new TextDecoderStream()).pipeThrough(new EventSourceParserStream());
  const reader = parsed.getReader();
  try {
    for (;;) {
      const { value, done } = await reader.read().catch(() => ({ value: undefined, done: true }) as const);
      if (done) return;
      yield value;
    }
  } finally {
    void reader.cancel().catch(() => {});
  }
}

/** Resolves after this time, or when the signal fires. */
export function pause(milliseconds: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const done = () => {
      clearTimeout(timer);
      signal.removeEventListener("abort", done);
      resolve();
    };
    const timer = setTimeout(done, milliseconds);
    signal.addEventListener("abort", done);
  });
}
