/** @file Tests of following all jobs of a tab over one connection. */

import { describe, expect, it } from "vitest";
import type { ServerEvent } from "./events.js";
import { JobEvents } from "./job-events.js";

/** A document that can be hidden. */
class Visible extends EventTarget {
  hidden = false;

  hide(hidden: boolean): void {
    this.hidden = hidden;
    this.dispatchEvent(new Event("visibilitychange"));
  }
}

/** A server of event streams: the test sends the events, and only the client closes a connection. */
function server() {
  const page = new Visible();
  const connections: {
    ids: readonly string[];
    open: boolean;
    send: (event: string, data: object) => void;
  }[] = [];
  const events = new JobEvents(async (ids, _, signal) => {
    let send = (_text: string) => {};
    const body = new ReadableStream<Uint8Array>({
      start(controller) {
        send = (text) => controller.enqueue(new TextEncoder().encode(text));
        signal.addEventListener("abort", () => controller.error(signal.reason));
      },
      cancel: () => void (connection.open = false),
    });
    const connection = {
      ids,
      open: true,
      send: (event: string, data: object) => send(`event: ${event}\ndata: ${JSON.stringify(data)}\n\n`),
    };
    signal.addEventListener("abort", () => (connection.open = false));
    connections.push(connection);
    return new Response(body);
  }, page);
  return { events, connections, page };
}

const never = () => new AbortController().signal;
const state = (id: string, state: string) => ({ id, state });
const soon = () => new Promise((resolve) => setTimeout(resolve, 10));

async function read(events: AsyncIterable<ServerEvent>, into: ServerEvent["type"][]): Promise<void> {
  for await (const { type } of events) into.push(type);
}

describe("jobs", () => {
  it("followed together share a connection, which is replaced to add another", async () => {
    const { events, connections } = server();
    const emitted: Record<string, ServerEvent["type"][]> = { a: [], b: [], c: [] };
    const reading = ["a", "b"].map((id) => read(events.follow(id, never()), emitted[id]!));
    await soon();
    expect(connections.map(({ ids }) => ids)).toEqual([["a", "b"]]);
    connections[0]!.send("state", state("a", "running"));
    connections[0]!.send("step", { job: "b", step: 1 });
    connections[0]!.send("state", state("a", "done"));
    await soon();
    expect(emitted).toEqual({ a: ["state", "state"], b: ["step"], c: [] });

    reading.push(read(events.follow("c", never()), emitted.c!));
    await soon();
    expect(connections.map(({ ids, open }) => [ids, open])).toEqual([
      [["a", "b"], false],
      [["b", "c"], true],
    ]);
    connections[1]!.send("gone", { job: "c" });
    connections[1]!.send("state", state("b", "cancelled"));
    await Promise.all(reading);
    expect(emitted).toEqual({ a: ["state", "state"], b: ["step", "state"], c: ["gone"] });
    expect(connections[1]!.open).toBe(false);
  });

  it("that are no longer followed leave the connection open for the others; the last one closes it", async () => {
    const { events, connections } = server();
    const [one, two] = [new AbortController(), new AbortController()];
    const reading = [read(events.follow("a", one.signal), []), read(events.follow("b", two.signal), [])];
    await soon();
    one.abort();
    await soon();
    expect(connections[0]!.open).toBe(true);
    two.abort();
    await Promise.all(reading);
    expect(connections.map(({ open }) => open)).toEqual([false]);
  });

  it("are reported as found after a loss, also by a connection with another list", async () => {
    const emitted: ServerEvent["type"][] = [];
    let here = false;
    const events = new JobEvents(async (ids) => {
      if (!here) throw new TypeError("no network");
      const lines = ids.map((id) => `event: state\ndata: ${JSON.stringify(state(id, "done"))}\n\n`);
      return new Response(lines.join(""));
    }, new Visible());
    const reading = [read(events.follow("a", never()), emitted)];
    await soon();
    expect(emitted).toEqual(["lost"]);
    here = true;
    reading.push(read(events.follow("b", never()), []));
    await Promise.all(reading);
    expect(emitted).toEqual(["lost", "found", "state"]);
  });

  it("beyond the limit of a connection are followed when others are over", async () => {
    const { events, connections } = server();
    const ids = Array.from({ length: 102 }, (_, i) => `job-${i}`);
    const reading = ids.map((id) => read(events.follow(id, never()), []));
    await soon();
    expect(connections[0]!.ids).toEqual(ids.slice(0, 100));
    connections[0]!.send("state", state("job-7", "done"));
    await soon();
    expect(connections[1]!.ids).toEqual([...ids.slice(0, 7), ...ids.slice(8, 101)]);
    connections[1]!.send("state", state("job-8", "done"));
    await soon();
    for (const id of ids) connections[2]!.send("state", state(id, "done"));
    await Promise.all(reading);
  });

  it("of a hidden tab are polled until it is visible again", async () => {
    const { events, connections, page } = server();
    const emitted: Record<string, ServerEvent["type"][]> = { a: [], b: [] };
    const reading = ["a", "b"].map((id) => read(events.follow(id, never()), emitted[id]!));
    await soon();
    page.hide(true);
    await soon();
    expect(connections.map(({ open }) => open)).toEqual([false, true]);
    connections[1]!.send("state", state("a", "running"));
    await soon();
    expect(connections[1]!.open).toBe(true);
    connections[1]!.send("state", state("b", "queued"));
    await soon();
    expect(connections.map(({ open }) => open)).toEqual([false, false]);
    page.hide(false);
    await soon();
    connections[2]!.send("state", state("a", "done"));
    connections[2]!.send("state", state("b", "done"));
    await Promise.all(reading);
    expect(emitted).toEqual({ a: ["state", "state"], b: ["state", "state"] });
    expect(connections).toHaveLength(3);
  });
});
