/** @file The stages that make the small model, in order; each says when it is done. Training is `koala`'s own. */

import { spawn } from "node:child_process";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { cp } from "node:fs/promises";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { readData, shippedData, writeEvery, writeNouns } from "./data/dataset.js";
import { makeEvaluator } from "./evaluator/make.js";
import { exportModel } from "./export.js";
import { writeTemplate } from "./initial-model.js";
import { teachText } from "./text.js";

export type Stage = { name: string; about: string; done: () => boolean; run: () => Promise<void> };

const root = fileURLToPath(new URL("..", import.meta.url));
const here = (name: string) => path.join(root, "nano", name);
export const shipped = path.join(root, "models", "nano");
const bundledDefaults = path.join(shipped, "koala.json");
/** What earlier sessions left of the teacher, text encoders and autoencoder included: training goes on from there. */
export const snapshot = here("snapshots/teacher");
export const snapshotText = here("snapshots/text");
const begun = () => existsSync(path.join(snapshot, "model_index.json"));

export function stages(work: string): Stage[] {
  const at = (...names: string[]) => path.join(work, ...names);
  return [
    {
      name: "packages",
      about: "the drawings, from npm",
      done: () => existsSync(here("node_modules/emojibase-data")),
      run: () => command("npm", ["ci", "--prefix", here("")]),
    },
    {
      name: "images",
      about: "every drawing on a background, and the chosen nouns with captions",
      done: () => existsSync(at("asked", "metadata.jsonl")),
      run: async () => {
        const data = readData();
        await writeEvery(data, at("every"), counted("drawings"));
        await writeNouns(data, at("nouns"), counted("images"));
        await writeNouns(shippedData(data), at("asked"), counted("images"));
      },
    },
    {
      name: "judge",
      about: "a classifier of noun, style and background, on real renderings",
      done: () => existsSync(at("judge", "accuracy.json")),
      run: () => makeEvaluator(at("judge")),
    },
    {
      name: "autoencoder",
      about: "from every drawing",
      ...trainingUnless(begun, path.join(snapshot, "vae"), at("autoencoder"), 2600, [
        ...["train", "--autoencoder", here("configs/vae.json"), "-d", at("every", "train"), ...images],
        ...["--random-flip", "--lr", "2e-3", "--warmup", "50", "--latent-moments", "0.02"],
      ]),
    },
    {
      name: "latents",
      about:
        "the autoencoder again, from the nouns, decoding what a diffusion model generates: latents with noise",
      ...trainingUnless(begun, path.join(snapshot, "vae"), at("vae"), 1300, [
        ...["train", "--autoencoder", at("autoencoder"), "-d", at("nouns"), ...images],
        ...["--lr", "1.5e-3", "--warmup", "50", "--latent-moments", "0.02", "--latent-noise", "0.2"],
      ]),
    },
    {
      name: "template",
      about: "the vocabulary, and networks with random weights, or the snapshot's",
      done: () => existsSync(at("template", "model_index.json")),
      run: () =>
        begun()
          ? cp(snapshot, at("template"), { recursive: true, dereference: true })
          : writeTemplate(at("template"), { images: at("nouns"), vae: at("vae") }),
    },
    {
      name: "text",
      about: "the text encoders, which learn to tell words apart before there are images",
      done: () => begun() || existsSync(at("text", "checkpoints")),
      run: () => teachText(readData(), at("template"), at("text"), 1200),
    },
    {
      name: "joint",
      about: "a U-Net of SDXL's topology with its text encoders",
      ...trainingUnless(begun, at("template"), at("joint"), 2500, [
        ...["train", "-m", at("template"), "--text-encoders", "-d", at("nouns"), ...unets],
        ...["--timestep-bias", "3", "--lr", "1.2e-3", "--lr-schedule", "cosine", "--warmup", "50"],
        ...["--ema", "0.998"],
      ]),
    },
    {
      name: "teacher",
      about: "the U-Net alone, its text encoders as they are",
      ...training(at("teacher"), 4400, [
        ...["train", "-m", at("joint"), "-d", at("nouns"), ...unets],
        ...["--timestep-bias", "3", "--lr", "1e-3", "--lr-schedule", "cosine", "--warmup", "20"],
        ...["--ema", "0.998"],
      ]),
    },
    {
      name: "student",
      about: "a U-Net of KOALA-700M's topology, cut from the teacher and distilled",
      ...training(at("student"), 3000, [
        ...["distill", "-t", at("teacher"), "--student", "koala-700m", "-d", at("nouns"), ...unets],
        ...["--loss", "task=1,out=1,feat=0.005", "--timestep-bias", "2", ...studentRates],
        ...["--ema", "0.998"],
      ]),
    },
    {
      name: "finish",
      about: "the student on the nouns that it ships with, by the task alone",
      ...training(at("finish"), 3600, [
        ...["train", "-m", at("student"), "-d", at("asked"), ...unets, ...studentRates],
        ...["--timestep-bias", "2", "--ema", "0.998"],
      ]),
    },
    {
      name: "export",
      about: "models/nano, in half precision, with its card",
      done: () => existsSync(bundledDefaults),
      run: () => exportModel({ model: at("finish"), vae: at("vae"), to: shipped }),
    },
    {
      name: "previews",
      about: "the colours of its previews, fitted to its autoencoder",
      done: () =>
        existsSync(bundledDefaults) && "preview" in JSON.parse(readFileSync(bundledDefaults, "utf8")),
      run: () => koala(["preview-factors", shipped, "-d", at("asked"), "-c", "400"]),
    },
  ];
}

const images = [
  ...["--resolution", "128", "-b", "8", "--lr-schedule", "cosine", "--weight-decay", "0"],
  ...["--checkpoint-every", "250"],
];
const unets = [
  ...["--resolution", "128", "-b", "32", "--data-parallel", "2", "--caption-dropout", "0.1"],
  ...["--prediction", "v_prediction", "--zero-snr", "--checkpoint-every", "250"],
];
const studentRates = ["--lr", "1e-3", "--lr-schedule", "cosine", "--warmup", "50"];

/** A run of `koala` that goes on from its last checkpoint. */
function training(output: string, steps: number, args: readonly string[]): Pick<Stage, "done" | "run"> {
  const checkpoints = path.join(output, "checkpoints");
  const begun = () => existsSync(checkpoints) && readdirSync(checkpoints).length > 0;
  return {
    done: () => begun() && readdirSync(checkpoints).some((name) => Number(/\d+/.exec(name)?.[0]) === steps),
    run: () => koala([...args, "-o", output, "-s", String(steps), ...(begun() ? ["--resume"] : [])]),
  };
}

/** As `training`, but where there is a snapshot its folder is taken over instead. */
function trainingUnless(
  kept: () => boolean,
  from: string,
  output: string,
  steps: number,
  args: readonly string[],
): Pick<Stage, "done" | "run"> {
  const own = training(output, steps, args);
  return {
    done: () => own.done() || (kept() && existsSync(output)),
    run: () => (kept() ? cp(from, output, { recursive: true, dereference: true }) : own.run()),
  };
}

/** A student for the ablation: the same as `student` in everything that `args` does not say, and shorter. */
export const ablationStage = (work: string, name: string, steps: number, args: readonly string[]) =>
  training(path.join(work, "ablation", name), steps, [
    ...["distill", "-t", path.join(work, "teacher"), "-d", path.join(work, "ablation", "nouns"), ...unets],
    ...["--cache", path.join(work, "ablation", "cache"), ...studentRates, "--ema", "0.99", ...args],
  ]);

const koala = (args: readonly string[]) =>
  command(process.execPath, [path.join(root, "dist", "cli", "main.js"), ...args]);

/** Runs to its end on the screen, at low priority; Ctrl-C reaches it as well, and it then saves. */
async function command(program: string, args: readonly string[]): Promise<void> {
  const code = await new Promise<number | null>((resolve, reject) => {
    const child = spawn("nice", ["-n", "10", program, ...args], { stdio: "inherit" });
    const wait = () => {};
    process.on("SIGINT", wait);
    child.on("error", reject);
    child.on("exit", (status) => {
      process.off("SIGINT", wait);
      resolve(status);
    });
  });
  if (code !== 0) throw new Error(`${path.basename(program)} ${args[0]}: ended with code ${code}`);
}

/** Says now and then how far a stage is. */
const counted = (what: string) => (done: number) => {
  if (done % 1000 === 0) console.log(`${done} ${what}`);
};
