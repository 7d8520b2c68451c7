/** @file Tests of reading and writing metrics.jsonl, complete or cut off by a crash. */

import { appendFile, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { appendMetrics, isValidation, MetricsTail, readMetrics, type StepMetrics } from "./metrics.js";

let folder: string;
let file: string;
beforeEach(async () => {
  folder = await mkdtemp(path.join(tmpdir(), "koala-metrics-"));
  file = path.join(folder, "metrics.jsonl");
});
afterEach(() => rm(folder, { recursive: true }));

const row = (step: number, loss = 1 / step): StepMetrics => ({
  ...{ step, epoch: 0, loss, task: loss, lr: 1e-5, gradNorm: 0.9, imagesPerSecond: 3, secondsPerStep: 0.5 },
  time: "2026-11-22T10:00:00.000Z",
});
const line = (value: unknown) => `${JSON.stringify(value)}\n`;
const steps = async () => (await readMetrics(folder)).map((r) => (isValidation(r) ? `v${r.step}` : r.step));

describe("metrics.jsonl", () => {
  it("returns the rows that were appended", async () => {
    const validation = { step: 2, validation: { loss: 0.25 } };
    for (const r of [row(1), row(2), validation, row(3)]) await appendMetrics(folder, r);
    expect(await readMetrics(folder)).toEqual([row(1), row(2), validation, row(3)]);
  });

  it("is empty before the first step", async () => {
    expect(await readMetrics(folder)).toEqual([]);
  });

  it("is read without a last line that a crash cut off, wherever it was cut", async () => {
    const last = line(row(2));
    for (const cut of [1, 10, last.length - 2]) {
      await writeFile(file, line(row(1)) + last.slice(0, cut));
      expect(await readMetrics(folder)).toEqual([row(1)]);
    }
  });

  it("keeps a last line of which only the newline is missing", async () => {
    await writeFile(file, line(row(1)) + line(row(2)).trim());
    expect(await steps()).toEqual([1, 2]);
  });

  it("stays readable when a resumed run appends to an incomplete line", async () => {
    await writeFile(file, line(row(1)) + line(row(2)).slice(0, 30));
    await appendMetrics(folder, row(2, 0.5));
    expect(await readFile(file, "utf8")).toBe(line(row(1)) + line(row(2, 0.5)));
    await writeFile(file, line(row(1)).trim());
    await appendMetrics(folder, row(2));
    expect(await steps()).toEqual([1, 2]);
  });

  it("lets a resumed run replace the steps after its checkpoint, with their validation", async () => {
    const validation = (step: number) => ({ step, validation: { loss: step } });
    const rows = [row(1), row(2), validation(2), row(3), row(4), validation(4), row(5), row(3, 7), row(4, 8)];
    await writeFile(file, rows.map(line).join(""));
    expect(await readMetrics(folder)).toEqual([row(1), row(2), validation(2), row(3, 7), row(4, 8)]);
  });

  it("takes the later of two validations of a step", async () => {
    await writeFile(
      file,
      line({ step: 0, validation: { loss: 1 } }) + line({ step: 0, validation: { loss: 2 } }),
    );
    expect(await readMetrics(folder)).toEqual([{ step: 0, validation: { loss: 2 } }]);
  });

  it("names the line that is broken in the middle", async () => {
    await writeFile(file, `${line(row(1))}{"step":2,"lo\n${line(row(3))}`);
    await expect(readMetrics(folder)).rejects.toThrow(/metrics\.jsonl line 2: must be one JSON object, got/);
    await writeFile(file, `${line(row(1))}${line({ ...row(2), lr: "fast" })}`);
    await expect(readMetrics(folder)).rejects.toThrow(/line 2: lr: .*number/);
    await writeFile(file, "[1]\n");
    await expect(readMetrics(folder)).rejects.toMatchObject({ name: "ModelError" });
  });

  it("keeps a loss that is not finite", async () => {
    await appendMetrics(folder, row(1, Number.NaN));
    await appendMetrics(folder, row(2, Number.POSITIVE_INFINITY));
    const read = (await readMetrics(folder)) as StepMetrics[];
    expect(read.map((r) => r.loss)).toEqual([Number.NaN, Number.NaN]);
  });

  it("is read completely with 100 000 steps", async () => {
    await writeFile(file, Array.from({ length: 100_000 }, (_, i) => line(row(i + 1))).join(""));
    const rows = await readMetrics(folder);
    expect(rows).toHaveLength(100_000);
    expect(rows.at(-1)).toEqual(row(100_000));
  });
});

describe("the tail of metrics.jsonl", () => {
  it("returns each row once, and a line only when it is complete", async () => {
    const tail = new MetricsTail(folder);
    expect(await tail.read()).toEqual([]);
    await appendMetrics(folder, row(1));
    expect(await tail.read()).toEqual([row(1)]);
    const next = line({ ...row(2), note: "größer" });
    await appendFile(file, next.slice(0, 20));
    expect(await tail.read()).toEqual([]);
    await appendFile(file, next.slice(20) + line(row(3)));
    expect(await tail.read()).toEqual([row(2), row(3)]);
    expect(tail.rows()).toEqual([row(1), row(2), row(3)]);
  });

  it("starts again when another run has been started in the folder", async () => {
    const tail = new MetricsTail(folder);
    await writeFile(file, line(row(1)) + line(row(2)));
    await tail.read();
    await writeFile(file, line(row(1, 9)));
    await tail.read();
    expect(tail.rows()).toEqual([row(1, 9)]);
  });

  it("stops at a broken line until it is repaired", async () => {
    const tail = new MetricsTail(folder);
    await writeFile(file, `${line(row(1))}broken\n`);
    for (let i = 0; i < 2; i++) await expect(tail.read()).rejects.toThrow("line 2");
    await writeFile(file, line(row(1)) + line(row(2)));
    await tail.read();
    expect(tail.rows()).toEqual([row(1), row(2)]);
  });
});
