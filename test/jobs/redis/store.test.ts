/** @file What a job's record promises when processes die between any two of its changes. */

import { randomUUID } from "node:crypto";
import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import type { JobRequest, ProcessorEvent } from "../../../src/jobs/processor.js";
import { connect } from "../../../src/jobs/redis/connection.js";
import { JobStore } from "../../../src/jobs/redis/store.js";
import { startRedis } from "../../redis-server.js";

const request: JobRequest = {
  settings: {
    prompt: 'a "koala" 🐨 \n\u0000 with {braces}',
    model: "owner/name: x",
    width: 64,
    height: 64,
    steps: 2,
    guidanceScale: 3.5,
    seed: "18446744073709551615",
    scheduler: "euler",
    count: 1,
    masked: true,
    rng: "cpu",
    outputFormat: "png",
  },
  scheduler: { className: "EulerDiscreteScheduler", overrides: { useKarrasSigmas: true } },
  image: Uint8Array.from({ length: 512 }, (_, i) => i % 256),
  mask: Uint8Array.of(0xff, 0xfe, 0x0d, 0x0a),
  previews: true,
  warnings: ["width: was 65"],
};
const stored = (byte: number): ProcessorEvent => ({
  type: "image",
  image: {
    index: 0,
    seed: "1",
    width: 64,
    height: 64,
    mediaType: "image/png",
    bytes: Uint8Array.of(byte, 255),
  },
});

describe("a job's record", () => {
  let close: () => Promise<void>;
  let store: JobStore;
  let id: string;
  beforeAll(async () => {
    const server = await startRedis();
    const redis = connect(server.url, "answers", (error) => console.error(error));
    store = new JobStore(redis);
    close = async () => {
      redis.disconnect();
      await server.stop();
    };
  });
  afterAll(() => close());
  beforeEach(async () => {
    id = randomUUID();
    expect(await store.submit(id, request, { most: 100, mostBytes: 2 ** 20 })).toBe("ok");
  });
  const state = async () => (await store.read(id))!.status.state;

  it("gives back an order as it was, every byte of its images too", async () => {
    const { image, mask, ...rest } = (await store.request(id))!;
    expect({ ...rest, image: new Uint8Array(image!), mask: new Uint8Array(mask!) }).toEqual(request);
    expect((await store.read(id))!.status.settings).toEqual(request.settings);
  });

  it("is one worker's at a time: what an earlier one still says is refused", async () => {
    await store.begin(id, "one/0");
    expect(await store.report(id, "one/0", { type: "step", step: 1, total: 2, secondsLeft: null })).toBe(
      "go",
    );
    await store.begin(id, "two/0");
    expect((await store.read(id))!.status).toMatchObject({ state: "running", step: 0 });
    expect(await store.report(id, "one/0", { type: "step", step: 2, total: 2, secondsLeft: 0 })).toBe("lost");
    expect(await store.report(id, "one/0", stored(1))).toBe("lost");
    expect(await store.end(id, "one/0", "done")).toBe("lost");
    expect(await store.release(id, "one/0", true)).toBe("lost");
    expect(await state()).toBe("running");
    expect(await store.end(id, "two/0", "done")).toBe("go");
  });

  it("ends once, and cannot be begun after that", async () => {
    await store.begin(id, "one/0");
    await store.end(id, "one/0", "done");
    expect(await store.begin(id, "two/0")).toBe("over");
    expect(await store.end(id, "one/0", "failed")).toBe("lost");
    expect(await store.cancel(id)).toBe("over");
    const ends = (await store.log(id, "0")).filter(
      ({ entry }) => entry.type === "state" && entry.change.finishedAt,
    );
    expect(ends).toHaveLength(1);
    expect(await state()).toBe("done");
  });

  it("keeps the first of an image that is generated twice", async () => {
    await store.begin(id, "one/0");
    await store.report(id, "one/0", stored(1));
    await store.begin(id, "two/0");
    await store.report(id, "two/0", stored(2));
    expect([...(await store.file(id, 0))!.bytes]).toEqual([1, 255]);
    expect((await store.log(id, "0")).filter(({ entry }) => entry.type === "image")).toHaveLength(1);
    await store.end(id, "two/0", "done");
  });

  it("is cancelled if a client said so before its end was reported", async () => {
    await store.begin(id, "one/0");
    expect(await store.cancel(id)).toBe("running");
    expect(await store.end(id, "one/0", "done")).toBe("cancelled");
    expect(await state()).toBe("cancelled");
  });

  it("is cancelled by the next worker if the one that was notified died", async () => {
    await store.begin(id, "one/0");
    await store.cancel(id);
    expect(await store.begin(id, "two/0")).toBe("over");
    expect(await state()).toBe("cancelled");
  });

  it("is given up when every worker that began it died, but not for those that handed it back", async () => {
    for (let i = 0; i < 20; i++) {
      expect(await store.begin(id, `stopped/${i}`)).toBe("go");
      await store.release(id, `stopped/${i}`, true);
    }
    for (let i = 0; i < 6; i++) expect(await store.begin(id, `died/${i}`)).toBe("go");
    expect(await store.begin(id, "next/0")).toBe("over");
    expect((await store.read(id))!.status).toMatchObject({ state: "failed", error: { code: "lost" } });
  });

  it("leaves nothing behind that does not expire", async () => {
    await store.begin(id, "one/0");
    await store.report(id, "one/0", stored(1));
    await store.end(id, "one/0", "done");
    const keys = await store.redis.keys(`${store.key("job", id)}*`);
    expect(keys.length).toBe(4);
    for (const key of keys) expect(await store.redis.ttl(key), key).toBeGreaterThan(3000);
  });

  it("is refused when too many wait, or too many bytes of images", async () => {
    expect(await store.submit(randomUUID(), request, { most: 1, mostBytes: 2 ** 20 })).toEqual({
      full: null,
    });
    expect(await store.submit(randomUUID(), request, { most: 100, mostBytes: 600 })).toEqual({ full: null });
  });
});
