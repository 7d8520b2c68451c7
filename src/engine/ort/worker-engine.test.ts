/** @file When an engine's thread is ended. */

import { expect, it, vi } from "vitest";
import { startId, workerEngine } from "./worker-engine.js";

const { Thread } = await vi.hoisted(async () => {
  const { EventEmitter } = await import("node:events");
  class Thread extends EventEmitter {
    static last: Thread;
    ended = false;
    constructor() {
      super();
      Thread.last = this;
    }
    ref() {}
    unref() {}
    terminate = async () => void (this.ended = true);
  }
  return { Thread };
});

vi.mock("node:worker_threads", () => ({ Worker: Thread, SHARE_ENV: Symbol() }));

const soon = () => new Promise((resolve) => setImmediate(resolve));

it("not while it loads ONNX Runtime, which would end the process", async () => {
  const closed = workerEngine().close();
  await soon();
  expect(Thread.last.ended).toBe(false);
  Thread.last.emit("message", { id: startId });
  await closed;
  expect(Thread.last.ended).toBe(true);
});

it("at once where it could not load it", async () => {
  const engine = workerEngine();
  Thread.last.emit("error", new Error("no such library"));
  await engine.close();
  expect(Thread.last.ended).toBe(true);
});
