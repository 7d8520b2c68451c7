/** @file Server-sent events as the page reads them. */

import { expect, it } from "vitest";
import { messages, type ServerEvent, serverEvents } from "./events.js";

const stream = (...parts: string[]): ReadableStream<Uint8Array> =>
  new Blob(parts).stream().pipeThrough(
    new TransformStream<Uint8Array, Uint8Array>({
      // One byte at a time: no boundary of the network may matter.
      transform: (chunk, out) => chunk.forEach((byte) => void out.enqueue(Uint8Array.of(byte))),
    }),
  );

async function all<T>(events: AsyncIterable<T>): Promise<T[]> {
  const list: T[] = [];
  for await (const event of events) list.push(event);
  return list;
}

it("messages are read whatever the network cuts them into", async () => {
  const text =
    ': hello\n\nevent: step\ndata: {"step":1}\n\nid: end\r\nevent: state\r\ndata: {"a":\r\ndata: "ä"}\r\n\r\n';
  const found = await all(messages(stream(text)));
  expect(found.slice(1)).toEqual([
    { id: undefined, event: "step", data: '{"step":1}' },
    { id: "end", event: "state", data: '{"a":\n"ä"}' },
  ]);
});

it("a cut connection is told, and taken up again until the end", async () => {
  const answers = [
    () => new Response(stream("event: step\ndata: 1\n\n")),
    () => Promise.reject(new TypeError("no network")),
    () => new Response(stream("id: end\nevent: state\ndata: 2\n\n")),
  ];
  const connect = async () => answers.shift()!();
  const events: ServerEvent[] = await all(serverEvents(connect, new AbortController().signal));
  expect(events).toEqual([
    { type: "step", data: 1 },
    { type: "lost" },
    { type: "found" },
    { type: "state", data: 2 },
  ]);
});

it("nothing follows where there is nothing to follow", async () => {
  for (const status of [204, 404]) {
    const connect = async () => new Response(null, { status });
    expect(await all(serverEvents(connect, new AbortController().signal))).toEqual([]);
  }
});
