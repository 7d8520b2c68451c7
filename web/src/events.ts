/** @file Server-sent events as an iteration. Reconnecting is the browser's; giving up is the reader's. */

export type ServerEvent =
  | { type: "state" | "step" | "preview" | "image"; data: unknown }
  | { type: "lost" }
  | { type: "found" };

const kinds = ["state", "step", "preview", "image"] as const;

/** Ends when the server ends it, or when the signal fires. */
export async function* serverEvents(url: string, signal: AbortSignal): AsyncGenerator<ServerEvent> {
  const source = new EventSource(url);
  const waiting: ServerEvent[] = [];
  let wake = () => {};
  let [ended, lost] = [false, false];
  const push = (event: ServerEvent) => {
    waiting.push(event);
    wake();
  };
  const end = () => {
    ended = true;
    wake();
  };
  for (const type of kinds) {
    source.addEventListener(type, ({ data }: MessageEvent<string>) => push({ type, data: JSON.parse(data) }));
  }
  source.addEventListener("open", () => {
    if (lost) push({ type: "found" });
    lost = false;
  });
  source.addEventListener("error", () => {
    if (source.readyState === EventSource.CLOSED) return end();
    if (!lost) push({ type: "lost" });
    lost = true;
  });
  signal.addEventListener("abort", end);
  try {
    while (!ended || waiting.length > 0) {
      if (signal.aborted) return;
      const next = waiting.shift();
      if (next) yield next;
      else await new Promise<void>((resolve) => (wake = resolve));
    }
  } finally {
    source.close();
    signal.removeEventListener("abort", end);
  }
}
