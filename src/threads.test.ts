/** @file Calls to real worker threads: results, events, signals, errors, and every way to end. */

import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { pathToFileURL } from "node:url";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { InvalidRequest } from "./errors.js";
import { type Call, Thread } from "./threads.js";

type Methods = {
  double(values: Float32Array, call: Call): Float32Array;
  count(to: number, call: Call<number>): Promise<string>;
  waitFor(names: readonly string[], call: Call): Promise<string>;
  fail(what: "request" | "exit" | "throw"): Promise<never>;
};

const built = (file: string) => JSON.stringify(new URL(`../dist/${file}`, import.meta.url).href);
const source = `
import { InvalidRequest } from ${built("errors.js")};
import { serveThread, threadData } from ${built("threads.js")};
const { marks, loadMs } = threadData();
Atomics.store(marks, 0, 1);
Atomics.wait(marks, 3, 0, loadMs);
Atomics.store(marks, 1, 1);
const aborted = (signal) => signal.aborted || new Promise((resolve) => signal.addEventListener("abort", resolve));
serveThread(
  {
    double: (values, { transfer }) => {
      const doubled = values.map((value) => 2 * value);
      transfer([doubled.buffer, doubled.buffer]);
      return doubled;
    },
    count: async (to, { emit }) => {
      for (let i = 0; i < to; i++) emit(i);
      return "counted";
    },
    waitFor: async (names, { signals }) =>
      Promise.race(names.map(async (name, i) => (await aborted(signals[i]), name))),
    fail: async (what) => {
      if (what === "request") throw new InvalidRequest("width", 5, "must be 8, got 5.");
      if (what === "exit") process.exit(3);
      setImmediate(() => { throw new Error("broken"); });
      return new Promise(() => {});
    },
  },
  async () => void Atomics.store(marks, 2, 1),
);`;

let folder: string;
let entry: URL;
beforeAll(async () => {
  folder = await mkdtemp(path.join(tmpdir(), "koala-threads-"));
  await writeFile(path.join(folder, "entry.mjs"), source);
  entry = pathToFileURL(path.join(folder, "entry.mjs"));
});
afterAll(() => rm(folder, { recursive: true }));

/** A thread, and what it has reached: its first line, its last import, its clean-up. */
function started(loadMs = 0) {
  const marks = new Int32Array(new SharedArrayBuffer(16));
  const thread = new Thread<Methods>(entry, { name: "test", data: { marks, loadMs } });
  return { thread, marks };
}

describe("a call to a thread", () => {
  it("moves buffers both ways", async () => {
    const { thread } = started();
    const values = Float32Array.of(1, 2, 3);
    const doubled = thread.call("double", values, { transfer: [values.buffer] });
    expect(values.length).toBe(0);
    expect(await doubled).toEqual(Float32Array.of(2, 4, 6));
    await thread.close();
  });

  it("gets its events in order, before its result, apart from another call's", async () => {
    const { thread } = started();
    const events: Record<string, number[]> = { first: [], second: [] };
    const calls = Object.entries(events).map(([, seen]) =>
      thread.call("count", 3, { onEvent: (event) => seen.push(event) }).then(() => [...seen]),
    );
    expect(await Promise.all(calls)).toEqual([
      [0, 1, 2],
      [0, 1, 2],
    ]);
    await thread.close();
  });

  it("is cancelled by any of its signals, also by one that fired before", async () => {
    const { thread } = started();
    const [one, two] = [new AbortController(), new AbortController()];
    const signals = [one.signal, two.signal];
    const call = thread.call("waitFor", ["one", "two"], { signals });
    two.abort();
    expect(await call).toBe("two");
    expect(await thread.call("waitFor", ["one", "two"], { signals })).toBe("two");
    await thread.close();
  });

  it("rejects with the method's error under its class", async () => {
    const { thread } = started();
    const failed = thread.call("fail", "request");
    await expect(failed).rejects.toBeInstanceOf(InvalidRequest);
    await expect(failed).rejects.toThrow("width: must be 8, got 5.");
    await thread.close();
  });

  it("rejects where the thread ends before its answer, and so do later calls", async () => {
    for (const [what, reason] of [
      ["exit", "internal: the test thread ended with code 3"],
      ["throw", "broken"],
    ] as const) {
      const { thread } = started();
      const waiting = thread.call("waitFor", ["one"], { signals: [new AbortController().signal] });
      const calls = [waiting, thread.call("fail", what)];
      for (const result of await Promise.allSettled(calls))
        expect(result).toMatchObject({ status: "rejected", reason: { message: reason } });
      expect(thread.ended).toBe(true);
      await expect(thread.call("count", 1)).rejects.toThrow(reason);
      await thread.close();
    }
  });
});

describe("the end of a thread", () => {
  it("by close aborts what runs, waits for it and for the clean-up", async () => {
    const { thread, marks } = started();
    const call = thread.call("waitFor", ["one"], { signals: [new AbortController().signal] });
    await thread.close();
    expect(await call).toBe("one");
    expect(marks[2]).toBe(1);
    await expect(thread.call("count", 1)).rejects.toThrow("internal: the test thread was called after");
    await thread.close();
  });

  // A thread that is ended while it loads a native library takes the process with it.
  it("by terminate comes after its modules are loaded, and without the clean-up", async () => {
    const { thread, marks } = started(200);
    const call = thread.call("count", 1e9);
    await Promise.all([thread.terminate(), expect(call).rejects.toThrow("ended with code 1")]);
    expect([...marks.subarray(0, 3)]).toEqual([1, 1, 0]);
  });

  it("by terminate does not wait for a module that cannot be loaded", async () => {
    const absent = new URL("absent.mjs", entry);
    const thread = new Thread<Methods>(absent, { name: "test" });
    await thread.terminate();
    await expect(thread.call("count", 1)).rejects.toThrow("internal: the test thread");
  });
});
