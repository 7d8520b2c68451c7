/** @file The training loop on a task of two tensors, whose gradient depends on the weights and on the batch. */

import {
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { afterAll, describe, expect, it } from "vitest";
import { FileError } from "../errors.js";
import { writeWhole } from "../files/file-system.js";
import { readMetrics } from "../monitor/metrics.js";
import { readRun } from "../monitor/run.js";
import { checkpointSteps } from "./checkpoint.js";
import { seeded } from "./data/seeded.js";
import type { TrainingEvent, TrainingResult } from "./events.js";
import { type TrainingRequest, trainingOptions } from "./options.js";
import { ParameterBuffer } from "./parameter-buffer.js";
import { type RunOptions, type TrainingTask, train } from "./trainer.js";

const scratch = mkdtempSync(path.join(tmpdir(), "koala-trainer-"));
afterAll(() => rmSync(scratch, { recursive: true }));
const folder = (name: string) => path.join(scratch, name);

/** Three batches to an epoch; `calls` lists the numbers of the batches. */
function task(change: Partial<TrainingTask> = {}): TrainingTask & { calls: number[]; saved: number[][] } {
  const layout = new ParameterBuffer([
    ["a", [3, 4]],
    ["b", [5]],
  ]);
  const [calls, saved]: [number[], number[][]] = [[], []];
  return {
    calls,
    saved,
    description: { command: "train", model: "matrix", data: "none" },
    layout,
    initialise: async (weights) => weights.set(weights.map((_, i) => Math.sin(i))),
    gradient: async ({ position, batch }, weights, into) => {
      calls.push(batch);
      const random = seeded(position.epoch, "test", position.batch);
      let loss = 0;
      weights.forEach((w, i) => {
        into[i] = w - random();
        loss += into[i]! ** 2 / 2;
      });
      const { epoch, batch: at } = position;
      const next = at === 2 ? { epoch: epoch + 1, batch: 0 } : { epoch, batch: at + 1 };
      return { terms: { total: loss, task: loss }, images: 2, next };
    },
    save: async (weights) => void saved.push([...weights]),
    release: async () => {},
    ...change,
  };
}

const everything: TrainingRequest = {
  maxTrainSteps: 9,
  learningRate: 0.05,
  lrScheduler: "cosine",
  lrWarmupSteps: 2,
  gradientAccumulationSteps: 2,
  ema: { decay: 0.8 },
  checkpointingSteps: 4,
  checkpointsTotalLimit: null,
};

const run = (
  to: string,
  request: TrainingRequest,
  change: Partial<RunOptions> = {},
  of = task(),
): Promise<TrainingResult> =>
  train(of, { folder: folder(to), options: trainingOptions(request), resume: false, ...change });

const state = (of: string, step: number) =>
  ["state.safetensors", "progress.json"].map((file) =>
    readFileSync(
      path.join(folder(of), "checkpoints", `step-${String(step).padStart(6, "0")}`, file),
      "base64",
    ),
  );

describe("a run that goes on", () => {
  it("ends with the uninterrupted run's bits, wherever it was stopped", async () => {
    await run("whole", everything);
    for (let stop = 1; stop < 9; stop++) {
      const name = `stopped-${stop}`;
      const controller = new AbortController();
      const onEvent = (event: TrainingEvent) =>
        void (event.type === "step" && event.metrics.step === stop && controller.abort());
      const first = await run(name, everything, { signal: controller.signal, onEvent });
      expect(first).toEqual({ step: stop, stopped: true });
      expect(await run(name, everything, { resume: true })).toEqual({ step: 9, stopped: false });
      expect(state(name, 9), `stopped at ${stop}`).toEqual(state("whole", 9));
      const rows = await readMetrics(folder(name));
      expect(rows.map(({ step }) => step)).toEqual([1, 2, 3, 4, 5, 6, 7, 8, 9]);
    }
  });

  it("drops a half accumulated update when it is stopped, and repeats its batches", async () => {
    const controller = new AbortController();
    const stopped = task();
    const { gradient } = stopped;
    const interrupted: TrainingTask = {
      ...stopped,
      gradient: (at, ...rest) => {
        if (at.batch === 6) controller.abort();
        return gradient(at, ...rest);
      },
    };
    const first = await run("half", everything, { signal: controller.signal }, interrupted as typeof stopped);
    expect(first).toEqual({ step: 3, stopped: true });
    expect(stopped.calls).toEqual([0, 1, 2, 3, 4, 5, 6]);
    const again = task();
    await run("half", everything, { resume: true }, again);
    expect(again.calls).toEqual([6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17]);
    expect(state("half", 9)).toEqual(state("whole", 9));
  });

  it("stopped before its first step begins where it would have begun", async () => {
    const aborted = AbortSignal.abort();
    expect(await run("nothing", everything, { signal: aborted })).toEqual({ step: 0, stopped: true });
    await run("nothing", everything, { resume: true });
    expect(state("nothing", 9)).toEqual(state("whole", 9));
  });

  it("repeats what came after the last checkpoint if it was killed, and its metrics tell one history", async () => {
    const dying = task();
    const { gradient } = dying;
    const killed: TrainingTask = {
      ...dying,
      gradient: (at, ...rest) =>
        at.batch === 15 ? Promise.reject(new Error("killed")) : gradient(at, ...rest),
    };
    await expect(run("killed", everything, {}, killed as typeof dying)).rejects.toThrow("killed");
    expect(await checkpointSteps(folder("killed"))).toEqual([4]);
    const again = task();
    const events: TrainingEvent[] = [];
    await run("killed", everything, { resume: true, onEvent: (event) => events.push(event) }, again);
    expect(events[0]).toEqual({ type: "begin", step: 4, resumed: true });
    expect(again.calls[0]).toBe(8);
    expect(state("killed", 9)).toEqual(state("whole", 9));
    expect((await readMetrics(folder("killed"))).map(({ step }) => step)).toEqual([
      1, 2, 3, 4, 5, 6, 7, 8, 9,
    ]);
  });

  it("writes the model again if it was killed between the last checkpoint and the model", async () => {
    const failing = { save: () => Promise.reject(new Error("killed")) };
    await expect(run("unsaved", { ...everything, checkpointingSteps: 9 }, {}, task(failing))).rejects.toThrow(
      "killed",
    );
    expect(await checkpointSteps(folder("unsaved"))).toEqual([9]);
    const again = task();
    await run("unsaved", { ...everything, checkpointingSteps: 9 }, { resume: true }, again);
    expect(again.calls).toEqual([]);
    expect(again.saved.length).toBe(1);
    expect(again.saved[0]!.length).toBe(17);
  });

  it("saves the moving average, not the weights, where there is one", async () => {
    const [with_, without] = [task(), task()];
    await run("average", { ...everything, checkpointingSteps: 9 }, {}, with_);
    await run("no-average", { ...everything, checkpointingSteps: 9, ema: null }, {}, without);
    expect(with_.saved.length).toBe(1);
    expect(with_.saved[0]).not.toEqual(without.saved[0]);
  });

  it("goes further than was asked for at first if the rate does not depend on the end", async () => {
    const constant = { ...everything, lrScheduler: "constant_with_warmup" } as const;
    await run("long", constant);
    await run("short", { ...constant, maxTrainSteps: 5 });
    await run("short", constant, { resume: true });
    expect(state("short", 9)).toEqual(state("long", 9));
    expect((await readRun(folder("short"))).steps).toBe(9);
  });

  const changed: [string, TrainingRequest, RegExp][] = [
    ["maxTrainSteps", { maxTrainSteps: 12 }, /^maxTrainSteps: must stay 9 when a run goes on, got 12\. /],
    ["learningRate", { learningRate: 0.1 }, /^learningRate: must stay 0\.05 when a run goes on, got 0\.1\. /],
    ["ema", { ema: { decay: 0.7 } }, /^ema: must stay \{"decay":0\.8,.*got \{"decay":0\.7,/],
    ["seed", { seed: 1 }, /^seed: must stay 0 when a run goes on, got 1\. Begin another run to change it\.$/],
    ["loss", { loss: { task: 2 } }, /^loss: must stay .*"task":1.*got .*"task":2/],
  ];
  it.each(changed)("is refused with another %s, by its name", async (_, change, message) => {
    const before = state("whole", 9);
    const going = run("whole", { ...everything, ...change }, { resume: true });
    await expect(going).rejects.toThrow(message);
    expect(state("whole", 9)).toEqual(before);
  });

  it("is refused with another model, by its role", async () => {
    const other = task({ description: { command: "train", model: "vector", data: "none" } });
    const going = run("whole", everything, { resume: true }, other);
    await expect(going).rejects.toThrow(/^model: must stay "matrix" when a run goes on, got "vector"\. /);
  });

  it("may change how often it saves and generates, and on how many threads it runs", async () => {
    cpSync(folder("stopped-3"), folder("freely"), { recursive: true });
    const free = {
      checkpointingSteps: 1,
      checkpointsTotalLimit: 1,
      validationSteps: 1,
      validationPrompts: ["a"],
    };
    await run("freely", { ...everything, ...free, threads: 2 }, { resume: true });
    expect(state("freely", 9)).toEqual(state("whole", 9));
  });

  it("says where it goes on with another device than it was computed on", async () => {
    cpSync(folder("stopped-3"), folder("elsewhere"), { recursive: true });
    const events: TrainingEvent[] = [];
    const onEvent = (event: TrainingEvent) => events.push(event);
    await run("elsewhere", { ...everything, device: "cuda" }, { resume: true, onEvent });
    expect(events[0]).toEqual({
      type: "warning",
      message: expect.stringMatching(/^device: was "cpu" up to step 9 and is "cuda" from there on/),
    });
    expect((await readRun(folder("elsewhere"))).options.device).toBe("cuda");
  });
});

describe("a new run", () => {
  it("is refused in a folder with a run in it", async () => {
    await expect(run("whole", everything)).rejects.toThrow(
      /^output: must be a new folder, got one with a run in it\. Add `resume` to go on, or choose another\.$/,
    );
  });

  it("that is to be resumed where no checkpoint is begins anew", async () => {
    const events: TrainingEvent[] = [];
    await run("fresh", everything, { resume: true, onEvent: (event) => events.push(event) });
    expect(events[0]).toEqual({ type: "begin", step: 0, resumed: false });
    expect(state("fresh", 9)).toEqual(state("whole", 9));
  });

  it("leaves run.json, metrics and curves that the page can read", async () => {
    const { command, models, steps, options } = await readRun(folder("whole"));
    expect({ command, models, steps }).toEqual({
      command: "train",
      models: { model: "matrix", data: "none" },
      steps: 9,
    });
    expect(options).toEqual(trainingOptions(everything));
    expect(readFileSync(path.join(folder("whole"), "curves.svg"), "utf8")).toMatch(
      /^<svg [\s\S]*<\/svg>\s*$/,
    );
  });

  it("generates after every so many steps, and saves the model before", async () => {
    const events: string[] = [];
    const generating = task({
      save: async () => void events.push("save"),
      generateSamples: async (step) => void events.push(`generate ${step}`),
    });
    const request = {
      ...everything,
      validationSteps: 3,
      validationPrompts: ["a boat"],
      checkpointingSteps: 6,
    };
    await run("generated", request, {}, generating);
    expect(events).toEqual(["save", "generate 3", "save", "generate 6", "save", "generate 9"]);
  });

  it("follows the schedule of its learning rate", async () => {
    const rates = (await readMetrics(folder("whole"))).map((row) => ("lr" in row ? row.lr : Number.NaN));
    expect(rates[0]).toBe(0);
    expect(rates[1]).toBeCloseTo(0.025, 12);
    for (let k = 2; k < 9; k++)
      expect(rates[k]).toBeCloseTo(0.025 * (1 + Math.cos((Math.PI * (k - 2)) / 7)), 12);
  });
});

describe("a run that diverges", () => {
  const from = (batch: number, value: number): Partial<TrainingTask> => {
    const { gradient } = task();
    return {
      gradient: async (at, weights, into) => {
        const computed = await gradient(at, weights, into);
        return at.batch < batch ? computed : { ...computed, terms: { total: value, task: value } };
      },
    };
  };
  const plain = {
    ...everything,
    gradientAccumulationSteps: 1,
    checkpointingSteps: 1,
    checkpointsTotalLimit: 1,
  };

  it.each([Number.NaN, Number.POSITIVE_INFINITY])(
    "to a loss of %s says so and keeps the last checkpoint",
    async (x) => {
      const name = `diverged-${x}`;
      const message = new RegExp(
        `^total: must be finite, got ${x} at step 6\\. .*the last checkpoint is whole\\.$`,
      );
      await expect(run(name, plain, {}, task(from(5, x)))).rejects.toThrow(message);
      expect(await checkpointSteps(folder(name))).toEqual([5]);
      await run(name, plain, { resume: true });
      await run("straight", { ...plain, checkpointsTotalLimit: null }, { resume: true });
      expect(state(name, 9)).toEqual(state("straight", 9));
      expect(
        (await readMetrics(folder(name))).every((row) => "loss" in row && Number.isFinite(row.loss)),
      ).toBe(true);
    },
  );

  it("to a gradient that is not finite is stopped before it is saved", async () => {
    const { gradient } = task();
    const broken = task({
      gradient: async (at, weights, into) => {
        const computed = await gradient(at, weights, into);
        if (at.batch === 3) into[7] = Number.NaN;
        return computed;
      },
    });
    const going = run("gradient", plain, {}, broken);
    await expect(going).rejects.toThrow(
      /^norm of the gradient: must be finite, got NaN at step 4\. Lower learningRate/,
    );
    expect(await checkpointSteps(folder("gradient"))).toEqual([3]);
  });

  it("to weights that are not finite is stopped before they are saved", async () => {
    const huge = { ...plain, lrScheduler: "constant", lrWarmupSteps: 0, learningRate: 3.5e38 } as const;
    await expect(run("weights", huge)).rejects.toThrow(
      /^weights: must be finite, got -?(NaN|Infinity) at step 1\. /,
    );
    expect(await checkpointSteps(folder("weights"))).toEqual([]);
  });
});

describe("a folder of a killed run", () => {
  it("has unfinished checkpoints removed, and none of them counted", async () => {
    cpSync(folder("stopped-5"), folder("left"), { recursive: true });
    const parent = path.join(folder("left"), "checkpoints");
    rmSync(path.join(parent, "step-000009"), { recursive: true });
    mkdirSync(path.join(parent, ".writing-0b9e"));
    writeFileSync(path.join(parent, ".writing-0b9e", "state.safetensors"), "half");
    expect(await checkpointSteps(folder("left"))).toEqual([4, 5, 8]);
    await run("left", everything, { resume: true });
    expect(readdirSync(parent).sort()).toEqual(["step-000004", "step-000005", "step-000008", "step-000009"]);
    expect(state("left", 9)).toEqual(state("whole", 9));
  });
});

describe("a disk", () => {
  it("without room for one checkpoint and the model is refused before anything is computed", async () => {
    const large = task({ layout: new ParameterBuffer([["a", [2 ** 25, 2 ** 25]]]) });
    const rule =
      /^output: must have 18014398\.51 GB of free disk for a checkpoint and the model, got [\d.]+ GB/;
    await expect(run("new/large", { maxTrainSteps: 1 }, {}, large)).rejects.toThrow(rule);
    expect(existsSync(folder("new"))).toBe(false);
    expect(large.calls).toEqual([]);
  });

  it("that takes no more of the model is told with the checkpoint that is whole", async () => {
    writeFileSync(folder("in-the-way"), "");
    const full = task({ save: () => writeWhole(folder("in-the-way/unet.json"), "{}") });
    const failed = run("no-model", { maxTrainSteps: 3, checkpointingSteps: 2 }, {}, full);
    await expect(failed).rejects.toThrow(FileError);
    await expect(failed).rejects.toThrow(
      `with \`resume\` it goes on from ${folder("no-model/checkpoints/step-000002")}, which is whole.`,
    );
    await run("no-model", { maxTrainSteps: 3, checkpointingSteps: 2 }, { resume: true });
    await run("model-too", { maxTrainSteps: 3, checkpointingSteps: 2 });
    expect(state("no-model", 3)).toEqual(state("model-too", 3));
  });

  it("that takes nothing of the first checkpoint is told so", async () => {
    const blocked = task();
    const onEvent = ({ type }: TrainingEvent) =>
      void (type === "step" && writeFileSync(folder("no-checkpoint/checkpoints"), "a file in its place"));
    await expect(run("no-checkpoint", { maxTrainSteps: 1 }, { onEvent }, blocked)).rejects.toThrow(
      /step-000001: must be writable, got ENOTDIR .* before its first checkpoint; with `resume` it begins again/,
    );
  });
});
