/** @file A teacher's results on disk are told apart by all that the teacher was given. */

import { mkdtempSync, readdirSync, rmSync, truncateSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { afterAll, describe, expect, it } from "vitest";
import { floats, floatsOf, type Values } from "../engine/engine.js";
import { ModelError } from "../errors.js";
import { TeacherStore } from "./teacher-store.js";

const scratch = mkdtempSync(path.join(tmpdir(), "koala-teacher-"));
afterAll(() => rmSync(scratch, { recursive: true }));
const store = new TeacherStore(path.join(scratch, "taught"));

const given = {
  sample: floats(Float32Array.of(1, 2), 2),
  encoder_hidden_states: floats(Float32Array.of(3, 4), 1, 2),
};
const results = {
  teacher_out: floats(Float32Array.of(-0, 1e-40, 5), 3),
  "teacher_feature/a": floats(Float32Array.of(7), 1),
};

describe("results", () => {
  it("are read again bit for bit, and only those that are named", async () => {
    expect(await store.has(0, given)).toBe(false);
    await store.write(0, given, results);
    expect(await store.has(0, given)).toBe(true);
    const read = await store.read(0, given, ["teacher_out"]);
    expect(Object.keys(read)).toEqual(["teacher_out"]);
    const [a, b] = [floatsOf(read.teacher_out), floatsOf(results.teacher_out)];
    expect(a.every((x, i) => Object.is(x, b[i]))).toBe(true);
    expect(read.teacher_out!.shape).toEqual([3]);
    expect(readdirSync(path.join(scratch, "taught"))).toEqual(["batch-000000.safetensors"]);
  });
});

describe("Results are refused", () => {
  const others: [string, Record<string, Values>][] = [
    ["of other latents", { ...given, sample: floats(Float32Array.of(1, 2.5), 2) }],
    ["of another caption", { ...given, encoder_hidden_states: floats(Float32Array.of(3, 0), 1, 2) }],
    [
      "of the same numbers in another shape",
      { ...given, encoder_hidden_states: floats(Float32Array.of(3, 4), 2, 1) },
    ],
    ["without a condition", { sample: given.sample }],
  ];
  it.each(others)("%s", async (_, inputs) => {
    const message = /batch-000000\.safetensors: was computed from another batch\. Use the same data, seed/;
    await expect(store.read(0, inputs, ["teacher_out"])).rejects.toThrow(message);
    await expect(store.has(0, inputs)).rejects.toThrow(ModelError);
  });

  it("that are not there, by the number of the batch", async () => {
    const reading = store.read(12, given, ["teacher_out"]);
    await expect(reading).rejects.toThrow(
      /batch-000012\.safetensors: must hold the teacher's results of batch 12, got no file\. Let the teacher run for more/,
    );
  });

  it("that lack a feature, by its name", async () => {
    const reading = store.read(0, given, ["teacher_out", "teacher_feature/b"]);
    await expect(reading).rejects.toThrow(
      /got nothing for "teacher_feature\/b"\. Let the teacher run with the same `feature`\./,
    );
  });

  it("that were cut short", async () => {
    await store.write(1, given, results);
    truncateSync(path.join(scratch, "taught", "batch-000001.safetensors"), 300);
    const message =
      /^\S*batch-000001\.safetensors: is not whole: (?!.*Download).* Delete this file and let the teacher run again/;
    await expect(store.read(1, given, ["teacher_out"])).rejects.toThrow(message);
    await expect(store.has(1, given)).rejects.toThrow(message);
  });
});
