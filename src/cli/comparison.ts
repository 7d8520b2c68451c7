/** @file What `koala evaluate` and `koala probe` share: the flags of a model beside another, and the images of both. */

import { type Command, Option } from "commander";
import { resolveSeed } from "../diffusion/seed.js";
import { InvalidRequest } from "../errors.js";
import type { EvaluationPrompt } from "../evaluate/prompt-sets.js";
import { dim } from "./colors.js";
import type { DeviceFlags } from "./device.js";
import { type GivenSettings, generateSide, type Side } from "./evaluation-images.js";
import { downloadModel } from "./models.js";
import { numberOption, seedOption, threadsOption } from "./numbers.js";
import { ProgressBar, stopOnInterrupt, warn } from "./terminal.js";

export type ComparisonFlags = DeviceFlags & {
  reference?: string;
  limit?: number;
  seeds?: number;
  seed?: bigint;
  steps?: number;
  guidance?: number;
  guidanceScale?: number;
  referenceSteps?: number;
  referenceGuidance?: number;
  width?: number;
  height?: number;
  negative?: string;
  scheduler?: string;
  evaluator?: string;
  threads?: number;
  output: string;
  json?: boolean;
  quiet?: boolean;
};

export const withComparisonFlags = (command: Command): Command =>
  command
    .option("-r, --reference <model>", "another model, with the same prompts and seeds")
    .option("--seed <n>", "the first of the seeds (default: 0)", seedOption)
    .option("-s, --steps <n>", "denoising steps", numberOption)
    .option("-g, --guidance <scale>", "how closely to follow the prompt", numberOption)
    .addOption(new Option("--guidance-scale <scale>", "the same").argParser(numberOption).hideHelp())
    .option("--reference-steps <n>", "of the reference (default: --steps)", numberOption)
    .option("--reference-guidance <scale>", "of the reference (default: --guidance)", numberOption)
    .option("-W, --width <pixels>", "multiple of 8", numberOption)
    .option("-H, --height <pixels>", "multiple of 8", numberOption)
    .option("-n, --negative <prompt>", "what not to generate")
    .option("--scheduler <name>", "such as dpmpp-2m-karras")
    .option("--evaluator <folder>", "a classifier (default: the model's own folder evaluator)")
    .option("--threads <n>", "default: one per core", threadsOption);

/** Refuses counts that are none, and a seed that is drawn: what is measured must be repeatable. InvalidRequest. */
export function checkCounts({ seeds, seed, limit = 1 }: Pick<ComparisonFlags, "seeds" | "seed" | "limit">) {
  if (seed === -1n)
    throw new InvalidRequest("--seed", seed, "must be one that can be repeated, got -1, which draws one.");
  for (const [flag, value] of Object.entries({ "--seeds": seeds, "--limit": limit })) {
    if (Number.isInteger(value) && value! > 0) continue;
    throw new InvalidRequest(flag, value, `must be a whole number above 0, got ${value}.`);
  }
}

/** Warnings as they come, each once. */
export class Warnings {
  readonly #said = new Set<string>();

  get all(): readonly string[] {
    return [...this.#said];
  }

  readonly add = (line: string): void => {
    if (!this.#said.has(line)) warn(line);
    this.#said.add(line);
  };
}

/** The reference's folder, downloaded if need be; undefined where none is named. */
export const referenceFolder = async ({ reference, quiet = false }: ComparisonFlags) =>
  reference === undefined ? undefined : downloadModel(reference, { quiet });

export type Folders = { folder: string; reference: string | undefined };
type Asked = { prompts: readonly EvaluationPrompt[]; seeds: number; warnings: Warnings };

/** What is generated and how it is shown, which measuring goes on with. */
export type ComparisonRun = Parameters<typeof generateSide>[2] & { seed: bigint };

/**
 * Generates the images of the model and, from the same seeds and in its size, of the reference, and calls `use` with them.
 * Ctrl-C ends both; the same command goes on.
 */
export async function compared(
  { folder, reference }: Folders,
  options: ComparisonFlags,
  { prompts, seeds, warnings }: Asked,
  use: (own: Side, other: Side | undefined, run: ComparisonRun) => Promise<void>,
): Promise<void> {
  const { output, quiet = false } = options;
  const say = (line: string) => void (quiet || process.stderr.write(`${dim(line)}\n`));
  const { signal, done } = stopOnInterrupt((line) => say(`${line}; the same command goes on`));
  const progress = new ProgressBar({ quiet });
  const run = {
    ...{ prompts, seeds, output, progress, signal, say },
    seed: resolveSeed(options.seed ?? 0n),
    load: options,
    warn: warnings.add,
  };
  try {
    const own = await generateSide(folder, settingsOf(options), run);
    const { width, height } = own.settings;
    const ofReference = { ...settingsOf(options, { isReference: true }), width, height };
    const other = reference === undefined ? undefined : await generateSide(reference, ofReference, run);
    await use(own, other, run);
  } finally {
    progress.stop();
    done();
  }
}

function settingsOf(options: ComparisonFlags, { isReference = false } = {}): GivenSettings {
  const { steps, guidance = options.guidanceScale, width, height, negative, scheduler } = options;
  return {
    steps: isReference ? (options.referenceSteps ?? steps) : steps,
    guidanceScale: isReference ? (options.referenceGuidance ?? guidance) : guidance,
    ...{ width, height, scheduler, negativePrompt: negative },
  };
}
