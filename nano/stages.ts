/** @file The stages that make the small model, in order; each says when it is done. */

import { spawn } from "node:child_process";
import { existsSync, readFileSync } from "node:fs";
import { cp } from "node:fs/promises";
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
import { readData, shippedData, writeEvery, writeNouns } from "./data/dataset.js";
import { evaluatorFile, evaluatorFolder, makeEvaluator } from "./evaluator/make.js";
import { exportModel } from "./export.js";
import { writeInitialModel } from "./initial-model.js";
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
export const shipped = path.join(root, "models", "nano");
const shippedDefaults = path.join(shipped, "koala.json");
/** The teacher of earlier sessions with its text encoders and autoencoder: training goes on from there. */
export const snapshot = here("snapshots/teacher");
export const snapshotText = here("snapshots/text");
const hasSnapshot = () => existsSync(path.join(snapshot, "model_index.json"));

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
    done: () => existsSync(at("prompted", "metadata.jsonl")),
    run: async () => {
      const data = readData();
      await writeEvery(data, at("every"), counted("drawings"));
      await writeNouns(data, at("nouns"), counted("images"));
      await writeNouns(shippedData(data), at("prompted"), counted("images"));
    },
  },
  {
    name: "evaluator",
    about: "a classifier of noun, style and background, on real renderings",
    done: () => existsSync(at("evaluator", evaluatorFile)),
    run: (signal) => makeEvaluator(at("evaluator"), signal),
  },
];

const autoencoderOptions = {
  resolution: 128,
  trainBatchSize: 8,
  lrScheduler: "cosine",
  lrWarmupSteps: 50,
  adamWeightDecay: 0,
  checkpointingSteps: 250,
  latentMomentWeight: 0.02,
} as const;

const autoencoderStages = (at: Work): Stage[] => [
  {
    name: "autoencoder",
    about: "from every drawing",
    ...fromSnapshot("vae", at("autoencoder"), 2600, (run) =>
      trainAutoencoder({
        ...autoencoderOptions,
        ...run,
        autoencoder: here("configs/vae.json"),
        data: at("every", "train"),
        randomFlip: true,
        learningRate: 2e-3,
      }),
    ),
  },
  {
    name: "latents",
    about: "the autoencoder again, from the nouns, with noise in the latents as a diffusion model leaves it",
    ...fromSnapshot("vae", at("vae"), 1300, (run) =>
      trainAutoencoder({
        ...autoencoderOptions,
        ...run,
        autoencoder: at("autoencoder"),
        data: at("nouns"),
        learningRate: 1.5e-3,
        latentNoise: 0.2,
      }),
    ),
  },
];

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
    about: "the vocabulary, and networks with random weights, or the snapshot's",
    done: () => existsSync(at("initial-model", "model_index.json")),
    run: () =>
      hasSnapshot()
        ? cp(snapshot, at("initial-model"), { recursive: true, dereference: true })
        : writeInitialModel(at("initial-model"), { images: at("nouns"), vae: at("vae") }),
  },
  {
    name: "text",
    about: "the text encoders, which learn to tell words apart before there are images",
    done: () => hasSnapshot() || existsSync(at("text", "checkpoints")),
    run: () => trainTextEncoders(readData(), at("initial-model"), at("text"), 1200),
  },
  {
    name: "finetune",
    about: "a U-Net of SDXL's topology with its text encoders",
    ...fromSnapshot("", at("finetune"), 2500, (run) =>
      finetune({
        ...unetOptions,
        ...run,
        model: at("initial-model"),
        textEncoders: true,
        data: at("nouns"),
        timestepBias: 3,
        learningRate: 1.2e-3,
        lrWarmupSteps: 50,
        ema: { decay: 0.998 },
      }),
    ),
  },
  {
    name: "teacher",
    about: "the U-Net alone, its text encoders as they are",
    ...training(at("teacher"), 4400, (run) =>
      finetune({
        ...unetOptions,
        ...run,
        model: at("finetune"),
        data: at("nouns"),
        timestepBias: 3,
        learningRate: 1e-3,
        lrWarmupSteps: 20,
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
    about: "the student on the nouns that it ships with, by the task alone",
    ...training(at("finish"), 3600, (run) =>
      finetune({
        ...studentOptions,
        ...run,
        model: at("student"),
        data: at("prompted"),
        timestepBias: 2,
        ema: { decay: 0.998 },
      }),
    ),
  },
  {
    name: "export",
    about: "models/nano, in half precision, with its card",
    done: () => existsSync(shippedDefaults),
    run: () => {
      const folders = { model: at("finish"), vae: at("vae"), to: shipped };
      return exportModel(folders, { evaluator: evaluatorFolder(at("evaluator")) });
    },
  },
  {
    name: "previews",
    about: "the colours of its previews, fitted to its autoencoder",
    done: () => existsSync(shippedDefaults) && "preview" in JSON.parse(readFileSync(shippedDefaults, "utf8")),
    run: () => {
      const koala = path.join(root, "dist", "cli", "main.js");
      return command(process.execPath, [
        koala,
        "preview-factors",
        shipped,
        "-d",
        at("prompted"),
        "-c",
        "400",
      ]);
    },
  },
];

type Run = Pick<TrainingRunOptions, "output" | "resume" | "signal" | "onEvent"> & { maxTrainSteps: number };

/** A training run of so many steps, which goes on from its last checkpoint. */
function training(
  output: string,
  maxTrainSteps: number,
  start: (run: Run) => Promise<unknown>,
): Pick<Stage, "done" | "run"> {
  return {
    done: async () => (await checkpointSteps(output)).includes(maxTrainSteps),
    run: async (signal) => {
      const resume = (await checkpointSteps(output)).length > 0;
      return start({ output, maxTrainSteps, resume, signal, onEvent: printLoss });
    },
  };
}

/** As `training`, but where there is a snapshot a folder of it is copied instead. */
function fromSnapshot(
  part: string,
  output: string,
  maxTrainSteps: number,
  start: (run: Run) => Promise<unknown>,
): Pick<Stage, "done" | "run"> {
  const own = training(output, maxTrainSteps, start);
  const copy = () => cp(path.join(snapshot, part), output, { recursive: true, dereference: true });
  return {
    done: async () => (await own.done()) || (hasSnapshot() && existsSync(output)),
    run: (signal) => (hasSnapshot() ? copy() : own.run(signal)),
  };
}

/** A student for the ablation: the stage `student` with other options, and shorter. */
export function ablationStage(
  work: string,
  name: string,
  maxTrainSteps: number,
  options: Pick<DistillOptions, "student" | "feature" | "loss" | "seed">,
): Pick<Stage, "done" | "run"> {
  const at: Work = (...names) => path.join(work, ...names);
  return training(at("ablation", name), maxTrainSteps, (run) =>
    distill({
      ...studentOptions,
      ...run,
      ...options,
      teacher: at("teacher"),
      data: at("ablation", "nouns"),
      cacheFolder: at("ablation", "cache"),
      ema: { decay: 0.99 },
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
