/** @file Tests of reading server-sent events and reconnecting. */

import { describe, expect, it } from "vitest";
import { type ServerEvent, serverEvents } from "./events.js";

/** A response in chunks of one byte, since no boundary between chunks may matter. */
const streamed = (text: string): Response =>
  new Response(
    new Blob([text]).stream().pipeThrough(
      new TransformStream<Uint8Array, Uint8Array>({
        transform: (chunk, out) => chunk.forEach((byte) => void out.enqueue(Uint8Array.of(byte))),
      }),
    ),
  );

async function all(connect: () => Promise<Response>): Promise<ServerEvent[]> {
  const list: ServerEvent[] = [];
  for await (const event of serverEvents(connect, new AbortController().signal)) list.push(event);
  return list;
}

describe("serverEvents", () => {
  it("parses lines of any ending, several lines of data, comments and unknown events", async () => {
    const text =
      ': hello\n\nevent: step\ndata: {"step":1}\n\nevent: other\ndata: x\n\n' +
      'id: end\r\nevent: state\r\ndata: {"id":\r\ndata: "ä"}\r\n\r\n';
    expect(await all(async () => streamed(text))).toEqual([
      { type: "step", data: { step: 1 } },
      { type: "state", data: { id: "ä" } },
    ]);
  });

  it("reports a lost connection, and reconnects until the end", async () => {
    const answers = [
      () => streamed("event: step\ndata: 1\n\n"),
      () => Promise.reject(new TypeError("no network")),
      () => streamed("id: end\nevent: state\ndata: 2\n\n"),
    ];
    expect(await all(async () => answers.shift()!())).toEqual([
      { type: "step", data: 1 },
      { type: "lost" },
      { type: "found" },
      { type: "state", data: 2 },
    ]);
  });

  it("reports a connection that breaks within an event, without that event", async () => {
    const broken = new ReadableStream<Uint8Array>({
      start(controller) {
        controller.enqueue(new TextEncoder().encode("event: step\ndata: 1\n\nevent: step\ndata: 2\n"));
      },
      pull: (controller) => controller.error(new TypeError("network error")),
    });
    const answers = [new Response(broken), new Response(null, { status: 204 })];
    expect(await all(async () => answers.shift()!)).toEqual([{ type: "step", data: 1 }, { type: "lost" }]);
  });

  it("ends without content, and at an error of the client", async () => {
    for (const status of [204, 404]) {
      expect(await all(async () => new Response(null, { status }))).toEqual([]);
    }
  });
});
