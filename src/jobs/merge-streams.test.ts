/** @file Merged streams: order, back pressure, end, failure. */

import { describe, expect, it } from "vitest";
import { Channel } from "./channel.js";
import { merged } from "./merge-streams.js";

const never = new AbortController().signal;

/** A channel that ends when `signal` fires. */
function open<T>(signal: AbortSignal): Channel<T> {
  const channel = new Channel<T>();
  signal.addEventListener("abort", () => channel.end(), { once: true });
  return channel;
}

const turn = () => new Promise((resolve) => setImmediate(resolve));

describe("merged streams", () => {
  it("give the values of all in the order of their arrival, and end with the last of them", async () => {
    const [a, b] = [new Channel<string>(), new Channel<string>()];
    const seen: string[] = [];
    const reading = (async () => {
      for await (const value of merged(() => [a, b], never)) seen.push(value);
    })();
    for (const [channel, value] of [
      [b, "b1"],
      [a, "a1"],
      [b, "b2"],
    ] as const) {
      channel.push(value);
      await turn();
    }
    b.end();
    a.push("a2");
    a.end();
    await reading;
    expect(seen).toEqual(["b1", "a1", "b2", "a2"]);
  });

  it("read nothing more from a source whose last value was not read yet", async () => {
    const [a, b] = [new Channel<number>(), new Channel<number>()];
    const values = merged(() => [a, b], never);
    for (const n of [1, 2, 3, 4]) a.push(n);
    b.push(10);
    expect([(await values.next()).value, (await values.next()).value]).toEqual([1, 10]);
    await turn();
    expect(a.waiting).toBe(2);
    a.forget((n) => n === 3);
    expect([(await values.next()).value, (await values.next()).value]).toEqual([2, 4]);
    for (const channel of [a, b]) channel.end();
    expect((await values.next()).done).toBe(true);
  });

  it("end their sources when the reader leaves, and when the signal fires", async () => {
    const ended: string[] = [];
    const source = async function* (name: string, signal: AbortSignal) {
      const channel = open<string>(signal);
      channel.push(name);
      try {
        yield* channel;
      } finally {
        ended.push(name);
      }
    };
    for await (const value of merged((signal) => [source("a", signal), source("b", signal)], never)) {
      expect(value).toBe("a");
      break;
    }
    expect(ended.sort()).toEqual(["a", "b"]);
    const controller = new AbortController();
    const seen: string[] = [];
    for await (const value of merged((signal) => [source("c", signal)], controller.signal)) {
      seen.push(value);
      controller.abort();
    }
    expect([seen, ended.at(-1)]).toEqual([["c"], "c"]);
  });

  it("fail with the first source that fails", async () => {
    const broken = async function* () {
      yield 1;
      throw new Error("it broke");
    };
    const values = merged((signal) => [open<number>(signal), broken()], never);
    expect((await values.next()).value).toBe(1);
    await expect(values.next()).rejects.toThrow("it broke");
  });
});
