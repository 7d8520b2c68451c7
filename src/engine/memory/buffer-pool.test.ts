/** @file The simulated pool of a WebGPU device, and what a program takes of it, on graphs that can be followed by hand. */

import { describe, expect, it } from "vitest";
import * as t from "../../tensor/operations.js";
import { input, param } from "../../tensor/operations.js";
import type { Tensor } from "../../tensor/tensor.js";
import { deviceOf } from "../device.js";
import { BufferPool } from "./buffer-pool.js";
import { attentionBytes, deviceMemory } from "./device-memory.js";
import { mebibytes } from "./nvidia.js";
import { poolBytes } from "./pool-bytes.js";

const webgpu = { ...deviceOf("webgpu"), fusedAttention: false };
const MiB = 2 ** 20;
const isHalf = () => true;
const stored = () => false;

describe("the pool of buffers", () => {
  it("rounds sizes up to a bucket, and keeps what is released for the next of its size", () => {
    const pool = new BufferPool();
    pool.release(pool.take(1.5 * MiB));
    pool.release(pool.take(1.9 * MiB));
    expect(pool.peak).toBe(2 * MiB);
    pool.take(3 * MiB);
    expect(pool.peak).toBe(6 * MiB);
  });

  it("keeps no more than a bucket's limit, and nothing that is larger than all buckets", () => {
    const pool = new BufferPool();
    const size = 44236800; // of which two are kept
    for (const buffer of [1, 2, 3].map(() => pool.take(size))) pool.release(buffer);
    pool.release(pool.take(200 * MiB));
    pool.take(200 * MiB);
    expect(pool.peak).toBe(2 * size + 200 * MiB);
  });
});

describe("a run on WebGPU", () => {
  const x = input("x", [512, 1024]);
  const layers = (n: number) =>
    Array.from({ length: n }).reduce<Tensor>(
      (h, _, i) => t.matmul(h, param(`w${i}`, [1024, 1024]), { transposeB: true }),
      x,
    );

  it("widens weights that are stored in 16 bits one by one, however many there are", () => {
    const [one, many] = [2, 9].map((n) => poolBytes({ y: layers(n) }, webgpu, isHalf));
    expect(one).toBe(many);
    expect(one! - poolBytes({ y: layers(9) }, webgpu, stored)).toBe(4 * MiB);
  });

  it("holds a slice of the scores of attention, by the bound of the device", () => {
    const q = input("q", [1, 4096, 64]);
    const y = t.attention(q, q, q, 1);
    const whole = poolBytes({ y }, { ...webgpu, attentionBytes: undefined }, stored);
    const sliced = poolBytes({ y }, { ...webgpu, attentionBytes: 8 * MiB }, stored);
    expect(whole).toBeGreaterThan(2 * 64 * MiB);
    expect(sliced).toBeLessThan(whole / 3);
  });
});

describe("the memory of a device", () => {
  it("is what was given, and on the CPU no more than the machine has", () => {
    expect(deviceMemory(webgpu, { given: 8e9 })).toEqual({ bytes: 8e9, source: "as given" });
    expect(deviceMemory(deviceOf("cpu"), { given: 1e3 }).bytes).toBe(1e3);
    expect(deviceMemory(deviceOf("cpu"), { given: 1e18 }).bytes).toBeLessThan(1e18);
  });

  it("is read from nvidia-smi's answer, if it is a number", () => {
    expect(mebibytes("7821\n")).toBe(7821 * MiB);
    expect(mebibytes("No devices were found\n")).toBeUndefined();
  });

  it("bounds the slices of attention: a 64th, within the device's own bound", () => {
    expect(attentionBytes(webgpu, 4e9)).toBe(62_500_000);
    expect(attentionBytes(webgpu, 80e9)).toBe(webgpu.attentionBytes);
    expect(attentionBytes(webgpu, 1e8)).toBe(16 * MiB);
    expect(attentionBytes(webgpu, undefined)).toBe(webgpu.attentionBytes);
    expect(attentionBytes(deviceOf("cpu"), 1e9)).toBeUndefined();
  });
});
