/** @file The stages that make the small model, in order; each says when it is done. */

import { spawn } from "node:child_process";
import { existsSync } from "node:fs";
import { cp, mkdir, rm, writeFile } from "node:fs/promises";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { checkpointSteps } from "../src/train/checkpoint.js";
import {
  type DistillOptions,
  distill,
  finetune,
  type TrainingRunOptions,
  trainAutoencoder,
} from "../src/train.js";
import { printLoss } from "./classifier.js";
import { readData, writeEvery, writeNouns } from "./data/dataset.js";
import { evaluatorFile, evaluatorFolder, makeEvaluator } from "./evaluator/make.js";
import { exportModel } from "./export.js";
import { writeInitialModel } from "./initial-model.js";
import { probeShipped } from "./probe.js";
import { trainTextEncoders } from "./text.js";

export type Stage = {
  name: string;
  about: string;
  done: () => boolean | Promise<boolean>;
  /** A signal stops a stage that trains, which saves what it has. */
  run: (signal: AbortSignal) => Promise<unknown>;
};

const root = fileURLToPath(new URL("..", import.meta.url));
const here = (name: string) => path.join(root, "nano", name);
const koala = path.join(root, "dist", "cli", "main.js");
export const shipped = path.join(root, "models", "nano");
const shippedFewSteps = path.join(root, "models", "nano-lightning");
/** The teacher with its text encoders and autoencoder, as the repository keeps them. */
export const snapshot = here("snapshots/teacher");
export const snapshotText = here("snapshots/text");

/** A path in the folder of all work. */
type Work = (...names: string[]) => string;

export function stages(work: string): Stage[] {
  const at: Work = (...names) => path.join(work, ...names);
  return [...dataStages(at), ...autoencoderStages(at), ...teacherStages(at), ...studentStages(at)];
}

const dataStages = (at: Work): Stage[] => [
  {
    name: "packages",
    about: "the drawings, from npm",
    done: () => existsSync(here("node_modules/emojibase-data")),
    run: () => command("npm", ["ci", "--prefix", here("")]),
  },
  {
    name: "images",
    about: "every drawing on a background, and the chosen nouns with captions",
    done: () => existsSync(at("nouns", "metadata.jsonl")),
    run: async () => {
      const data = readData();
      await writeEvery(data, at("every"), counted("drawings"));
      await writeNouns(data, at("nouns"), counted("images"));
    },
  },
];

const autoencoderOptions = {
  trainBatchSize: 4,
  dataParallel: 2,
  lrScheduler: "cosine",
  lrWarmupSteps: 50,
  adamWeightDecay: 0,
  checkpointingSteps: 250,
} as const;

const fromEveryDrawing = (at: Work) => ({
  ...autoencoderOptions,
  data: at("every", "train"),
  randomFlip: true,
  latentMomentWeight: 0.02,
});

/** The first updates matter more than their images' size: at half the resolution there are four for the time of one. */
const autoencoderStages = (at: Work): Stage[] => [
  {
    name: "autoencoder-64",
    about: "the autoencoder, from every drawing at 64 px",
    ...training(at("autoencoder-64"), 4000, (run) =>
      trainAutoencoder({
        ...fromEveryDrawing(at),
        ...run,
        autoencoder: here("configs/vae.json"),
        resolution: 64,
        learningRate: 2e-3,
      }),
    ),
  },
  {
    name: "autoencoder",
    about: "the same, on from there at 128 px",
    ...training(at("autoencoder"), 2000, (run) =>
      trainAutoencoder({
        ...fromEveryDrawing(at),
        ...run,
        autoencoder: at("autoencoder-64"),
        resolution: 128,
        learningRate: 1e-3,
      }),
    ),
  },
];

/** After the U-Nets in time, since their latents stay as they are. */
const decoderStage = (at: Work): Stage => ({
  name: "decoder",
  about: "the autoencoder's decoder, with noise in the latents as a diffusion model leaves it",
  ...training(at("vae"), 6000, (run) =>
    trainAutoencoder({
      ...autoencoderOptions,
      ...run,
      autoencoder: at("autoencoder"),
      decoderOnly: true,
      data: at("nouns"),
      resolution: 128,
      learningRate: 1e-3,
      latentNoise: 0.2,
    }),
  ),
});

const unetOptions = {
  resolution: 128,
  trainBatchSize: 32,
  dataParallel: 2,
  captionDropout: 0.1,
  predictionType: "v_prediction",
  rescaleBetasZeroSnr: true,
  lrScheduler: "cosine",
  checkpointingSteps: 250,
} as const;

const teacherStages = (at: Work): Stage[] => [
  {
    name: "initial-model",
    about: "the vocabulary, and networks with random weights",
    done: () => existsSync(at("initial-model", "model_index.json")),
    run: () => writeInitialModel(at("initial-model"), { images: at("nouns"), vae: at("autoencoder") }),
  },
  {
    name: "text",
    about: "the text encoders, which learn to tell words apart before there are images",
    done: () => isRestored(at("text")) || existsSync(at("text", "checkpoints")),
    run: () => trainTextEncoders(readData(), at("initial-model"), at("text"), 1200),
  },
  {
    name: "teacher",
    about: "a U-Net of SDXL's topology",
    ...training(at("teacher"), 6000, (run) =>
      finetune({
        ...unetOptions,
        ...run,
        model: at("initial-model"),
        data: at("nouns"),
        timestepBias: 3,
        learningRate: 1.2e-3,
        lrWarmupSteps: 50,
        ema: { decay: 0.998 },
      }),
    ),
  },
];

const studentOptions = { ...unetOptions, learningRate: 1e-3, lrWarmupSteps: 50 } as const;

const studentStages = (at: Work): Stage[] => [
  {
    name: "student",
    about: "a U-Net of KOALA-700M's topology, cut from the teacher and distilled",
    ...training(at("student"), 3000, (run) =>
      distill({
        ...studentOptions,
        ...run,
        teacher: at("teacher"),
        student: "koala-700m",
        data: at("nouns"),
        loss: { feat: 0.005 },
        timestepBias: 2,
        ema: { decay: 0.998 },
      }),
    ),
  },
  {
    name: "finish",
    about: "the student by the task alone",
    ...training(at("finish"), 10_000, (run) =>
      finetune({
        ...studentOptions,
        ...run,
        model: at("student"),
        data: at("nouns"),
        timestepBias: 2,
        ema: { decay: 0.998 },
      }),
    ),
  },
  {
    name: "lightning",
    about: "the student again, its ten guided steps distilled into four without guidance",
    ...training(at("lightning"), 1500, (run) =>
      distill({
        ...studentOptions,
        ...run,
        teacher: at("finish"),
        student: "teacher",
        data: at("nouns"),
        trajectory: { steps: 4, teacherSteps: 2, guidanceScale: 2 },
        learningRate: 3e-4,
        ema: { decay: 0.99 },
      }),
    ),
  },
  {
    name: "evaluator",
    about: "a classifier of noun, style and background, on real renderings",
    done: () => existsSync(at("evaluator", evaluatorFile)),
    run: (signal) => makeEvaluator(at("evaluator"), signal),
  },
  decoderStage(at),
  {
    name: "export",
    about: "models/nano and models/nano-lightning, in half precision, with their cards",
    done: () => existsSync(at("exported.json")),
    run: async () => {
      const [finish, lightning, vae] = [at("finish"), at("lightning"), at("vae")];
      await exportModel(
        { model: finish, vae, to: shipped },
        {
          card: "nano.md",
          defaults: { steps: 10, guidance: 2 },
          evaluator: evaluatorFolder(at("evaluator")),
        },
      );
      await exportModel(
        { model: lightning, vae, to: shippedFewSteps },
        { card: "nano-lightning.md", defaults: { steps: 4, guidance: 0 } },
      );
      // The colours of their previews, fitted to the autoencoder that they share.
      for (const model of [shipped, shippedFewSteps])
        await command(process.execPath, [koala, "preview-factors", model, "-d", at("nouns"), "-c", "400"]);
      await writeFile(at("exported.json"), "{}\n");
    },
  },
  {
    name: "probe",
    about: "what both show unasked and which words they confuse, in their cards",
    done: () => existsSync(at("probed.json")),
    run: () => probe(at()),
  },
];

/** Probes the shipped models and writes the tables into their cards. */
export async function probe(work: string): Promise<void> {
  const models = [
    { folder: shipped, card: "nano.md" },
    { folder: shippedFewSteps, card: "nano-lightning.md", reference: shipped },
  ];
  await probeShipped(models, work, (...args) => command(process.execPath, [koala, ...args]));
  await writeFile(path.join(work, "probed.json"), "{}\n");
}

type Run = Pick<TrainingRunOptions, "output" | "resume" | "signal" | "onEvent"> & { maxTrainSteps: number };

const restoredFile = "restored.json";
const isRestored = (output: string) => existsSync(path.join(output, restoredFile));

/** Puts the snapshot's teacher into the folder of all work, in place of the stages that lead to it. */
export async function restore(work: string): Promise<void> {
  const parts = { autoencoder: "vae", "initial-model": "", text: undefined, teacher: "" };
  for (const [stage, part] of Object.entries(parts)) {
    const folder = path.join(work, stage);
    await rm(folder, { recursive: true, force: true });
    await mkdir(folder, { recursive: true });
    if (part !== undefined)
      await cp(path.join(snapshot, part), folder, { recursive: true, dereference: true });
    await writeFile(path.join(folder, restoredFile), "{}\n");
  }
}

/** A training run of so many steps, which goes on from its last checkpoint. */
function training(
  output: string,
  maxTrainSteps: number,
  start: (run: Run) => Promise<unknown>,
): Pick<Stage, "done" | "run"> {
  return {
    done: async () => isRestored(output) || (await checkpointSteps(output)).includes(maxTrainSteps),
    run: async (signal) => {
      const resume = (await checkpointSteps(output)).length > 0;
      return start({ output, maxTrainSteps, resume, signal, onEvent: printLoss });
    },
  };
}

/** A run of the comparisons, in its own folder: the stage `student` with other options, and shorter. */
export function comparisonStage(
  work: string,
  name: string,
  maxTrainSteps: number,
  options: Omit<DistillOptions, "teacher" | "data" | "output"> & { teacher?: string; data?: string },
): Pick<Stage, "done" | "run"> {
  const at: Work = (...names) => path.join(work, ...names);
  return training(at("ablation", name), maxTrainSteps, (run) =>
    distill({
      ...studentOptions,
      teacher: at("teacher"),
      data: at("ablation", "nouns"),
      cacheFolder: at("ablation", "cache"),
      ema: { decay: 0.99 },
      ...run,
      ...options,
    }),
  );
}

/** Runs a program to its end on the screen, at low priority. */
async function command(program: string, args: readonly string[]): Promise<void> {
  const code = await new Promise<number | null>((resolve, reject) => {
    const child = spawn("nice", ["-n", "10", program, ...args], { stdio: "inherit" });
    child.on("error", reject);
    child.on("exit", resolve);
  });
  if (code !== 0) throw new Error(`${path.basename(program)} ${args[0]}: ended with code ${code}`);
}

/** Prints every thousandth number of images. */
const counted = (what: string) => (done: number) => {
  if (done % 1000 === 0) console.log(`${done} ${what}`);
};
