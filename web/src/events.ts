/** @file Server-sent events by `fetch`, which, unlike EventSource, can send a key. Connects again when it is cut off. */

import type { GoneEvent, ImageEvent, Job, PreviewEvent, StepEvent } from "../../src/jobs/schemas.js";

/** What the server tells, and whether it can be heard. */
export type ServerEvent =
  | { type: "state"; data: Job }
  | { type: "step"; data: StepEvent }
  | { type: "preview"; data: PreviewEvent }
  | { type: "image"; data: ImageEvent }
  | { type: "gone"; data: GoneEvent }
  | { type: "lost" }
  | { type: "found" };

type Connect = (lastId: string | undefined) => Promise<Response>;

const kinds = ["state", "step", "preview", "image", "gone"] as const;
const pauseMilliseconds = 2000;

/** Ends when the server ends it (a last event called "end", or no content), or when the signal fires. */
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
        const type = kinds.find((kind) => kind === event);
        if (type) yield { type, data: JSON.parse(data) } as ServerEvent;
      }
    }
    if (signal.aborted || lastId === "end") return;
    if (!lost) yield { type: "lost" };
    lost = true;
    await pause(pauseMilliseconds, signal);
  }
}

export type EventMessage = { id: string | undefined; event: string; data: string };

/** The messages of a stream, by HTML's grammar of event streams; a broken connection ends it. */
export async function* messages(body: ReadableStream<Uint8Array>): AsyncGenerator<EventMessage> {
  const reader = body.getReader();
  const decoder = new TextDecoder();
  let rest = "";
  try {
    for (;;) {
      const { value, done } = await reader.read().catch(() => ({ value: undefined, done: true }) as const);
      rest += decoder.decode(value, { stream: !done });
      const blocks = rest.split(/\r\n\r\n|\n\n|\r\r/);
      rest = blocks.pop()!;
      for (const block of blocks) yield message(block);
      if (done) return;
    }
  } finally {
    void reader.cancel().catch(() => {});
  }
}

function message(block: string): EventMessage {
  const found: EventMessage = { id: undefined, event: "message", data: "" };
  const lines: string[] = [];
  for (const line of block.split(/\r\n|\n|\r/)) {
    const [, name, value = ""] = /^([^:]*)(?:: ?(.*))?$/.exec(line) ?? [];
    if (name === "data") lines.push(value);
    else if (name === "event") found.event = value;
    else if (name === "id") found.id = value;
  }
  return { ...found, data: lines.join("\n") };
}

/** Ends sooner when the signal fires. */
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
