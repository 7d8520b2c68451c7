/** @file Buckets against SDXL's table; the order of batches, and going on in the middle of it. */

import { describe, expect, it } from "vitest";
import {
  aspectBuckets,
  batchesFrom,
  bucketName,
  epochBatches,
  nearestBucket,
  unfilledBuckets,
} from "./buckets.js";

describe("aspectBuckets", () => {
  it("at 1024 are the table of SDXL's appendix I", () => {
    const tall = [
      [2048, 512],
      [1984, 512],
      [1920, 512],
      [1856, 512],
      [1792, 576],
      [1728, 576],
      [1664, 576],
      [1600, 640],
      [1536, 640],
      [1472, 704],
      [1408, 704],
      [1344, 704],
      [1344, 768],
      [1280, 768],
      [1216, 832],
      [1152, 832],
      [1152, 896],
      [1088, 896],
      [1088, 960],
      [1024, 960],
    ];
    const wide = tall.toReversed().map(([height, width]) => [width, height]);
    const expected = [...tall, [1024, 1024], ...wide];
    expect(aspectBuckets(1024).map(({ height, width }) => [height, width])).toEqual(expected);
  });

  it("have sides that are multiples of the step and never more pixels than the square", () => {
    for (const { height, width } of aspectBuckets(256, { step: 8 })) {
      expect([height % 8, width % 8]).toEqual([0, 0]);
      expect(height * width).toBeLessThanOrEqual(256 * 256);
    }
  });

  it("refuse a resolution that is no multiple of the step and name the nearest", () => {
    expect(() => aspectBuckets(500)).toThrow(/resolution: must be a multiple of 64.*got 500\. Nearest: 512/);
  });
});

describe("nearestBucket", () => {
  it.each([
    [1000, 1000, "1024x1024"],
    [1080, 1920, "768x1344"], // 16:9 = 1.778, between 1.75 and 1.909
    [3000, 2000, "1216x832"], // 2:3 = 1.4615 against 1.5
    [100, 5000, "512x2048"],
  ])("of an image %i high and %i wide is %s", (height, width, name) => {
    expect(bucketName(nearestBucket({ height, width }, aspectBuckets(1024)))).toBe(name);
  });

  it("measures by factor, so that turning the image turns the bucket", () => {
    const buckets = aspectBuckets(512, { step: 64 });
    for (let height = 300; height < 1200; height += 37) {
      const upright = nearestBucket({ height, width: 500 }, buckets);
      const lying = nearestBucket({ height: 500, width: height }, buckets);
      expect(lying).toEqual({ height: upright.width, width: upright.height });
    }
  });

  it("of two equally near buckets is the larger", () => {
    const [small, large] = [
      { height: 64, width: 128 },
      { height: 128, width: 256 },
    ];
    expect(nearestBucket({ height: 10, width: 21 }, [small, large])).toEqual(large);
    expect(nearestBucket({ height: 10, width: 21 }, [large, small])).toEqual(large);
  });
});

const names = (prefix: string, count: number) => Array.from({ length: count }, (_, i) => `${prefix}${i}`);
const data = new Map([
  ["512x512", names("square", 11)],
  ["640x384", names("tall", 6)],
  ["384x640", names("wide", 3)],
]);

describe("epochBatches", () => {
  it("batches hold one bucket only, are full, and hold no example twice", () => {
    const batches = epochBatches(0, 1, data, 4);
    expect(batches.map((batch) => batch.bucket).sort()).toEqual(["512x512", "512x512", "640x384"]);
    for (const { bucket, keys } of batches) {
      expect(keys).toHaveLength(4);
      for (const key of keys) expect(data.get(bucket)).toContain(key);
    }
    expect(new Set(batches.flatMap((batch) => batch.keys)).size).toBe(12);
  });

  it("with the last batches kept every example comes exactly once", () => {
    const batches = epochBatches(3, 1, data, 4, { last: "keep" });
    expect(batches.map((batch) => batch.keys.length).sort()).toEqual([2, 3, 3, 4, 4, 4]);
    expect(batches.flatMap((batch) => batch.keys).sort()).toEqual([...data.values()].flat().sort());
  });

  it("depends on epoch and seed, and not on the order in which data was found", () => {
    const reversed = new Map(
      [...data].reverse().map(([bucket, keys]) => [bucket, keys.toReversed()] as const),
    );
    expect(epochBatches(2, 7, reversed, 2)).toEqual(epochBatches(2, 7, data, 2));
    expect(epochBatches(3, 7, data, 2)).not.toEqual(epochBatches(2, 7, data, 2));
    expect(epochBatches(2, 8, data, 2)).not.toEqual(epochBatches(2, 7, data, 2));
  });

  it("every place of the order is equally likely for every example", () => {
    const few = new Map([["b", names("k", 4)]]);
    const counts = Array.from({ length: 4 }, () => [0, 0, 0, 0]);
    for (let epoch = 0; epoch < 2000; epoch++) {
      const places = epochBatches(epoch, 5, few, 1).entries();
      for (const [place, { keys }] of places) counts[Number(keys[0]![1])]![place]! += 1;
    }
    // 500 expected in each of the 16 fields, standard deviation 19; 5 of these.
    for (const count of counts.flat()) expect(Math.abs(count - 500)).toBeLessThan(97);
  });

  it("is refused where no bucket fills a batch, and names those that never do", () => {
    expect(() => epochBatches(0, 1, data, 16)).toThrow(
      /batchSize: must be at most .* 11, got 16\. Take smaller/,
    );
    expect(unfilledBuckets(data, 4)).toEqual(["384x640"]);
    expect(epochBatches(0, 1, data, 16, { last: "keep" })).toHaveLength(3);
  });
});

describe("batchesFrom", () => {
  it("any saved position goes on exactly as the run that was never stopped", () => {
    const take = (position: { epoch: number; batch: number }, count: number) => {
      const batches = batchesFrom(position, 9, data, 2);
      return Array.from({ length: count }, () => batches.next().value!);
    };
    const whole = take({ epoch: 0, batch: 0 }, 30); // 9 batches an epoch
    for (const stop of [1, 8, 9, 10, 17, 18, 26]) {
      expect(take(whole[stop - 1]!.next, 30 - stop)).toEqual(whole.slice(stop));
    }
    expect(whole[8]!.next).toEqual({ epoch: 1, batch: 0 });
    expect(whole.slice(0, 9)).toEqual(
      epochBatches(0, 9, data, 2).map((batch) => expect.objectContaining(batch)),
    );
  });
});
