/**
 * @file The tables of KOALA's model card for any device: seconds, how many times as fast as SDXL, and memory of SDM-v2.0,
 * SDXL, KOALA-1B and -700M, with random weights of their shapes. bench/README.md has how to read them, and how to run it
 * on a machine where nothing else can be reached.
 *
 *     npx tsx bench/card.ts [--device webgpu] [--dtype float32,float16] [--quick]
 */

import { type ChildProcess, spawn } from "node:child_process";
import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { Command, InvalidArgumentError } from "commander";
import { deviceFlags, deviceOption, dtypeOption } from "../src/cli/device.js";
import { bytesOption, threadsOption, wholeOption } from "../src/cli/numbers.js";
import {
  type ImageTimes,
  type Job,
  type Part,
  type PartTime,
  type Place,
  type Plan,
  parts,
  runJob,
} from "./card/measure.js";
import { cardRows, type Model, type ModelName, modelNamed, models } from "./card/models.js";
import { type Measured, type Report, reportTable, rowNumbers, type Sample } from "./card/report.js";
import { modelFolder, removeUnfinished } from "./card/weights.js";

type Options = Omit<Place, "dtype"> & {
  dtype: NonNullable<Place["dtype"]>[];
  models: ModelName[];
  parts: Part[];
  quick?: boolean;
  rounds: number;
  pixels?: number;
  weights?: string;
  clip: string;
  json?: string;
};

/** After this no further round of `--quick` begins. */
const quickSeconds = 240;

const started = performance.now();
const elapsed = () => (performance.now() - started) / 1000;
const say = (text: string) => process.stderr.write(`[${elapsed().toFixed(0).padStart(4)} s] ${text}\n`);

let child: ChildProcess | undefined;
let stopped = false;

/** Runs a script of this folder in a process of its own, and gives what it printed. */
async function script(name: string, args: readonly string[], output: "pipe" | "ignore"): Promise<string> {
  if (stopped) throw new Error("stopped");
  const self = process.argv[1]!;
  const file = path.join(path.dirname(self), `${name}${path.extname(self) || ".ts"}`);
  const run = spawn(process.execPath, [...process.execArgv, file, ...args], {
    stdio: ["ignore", output, "inherit"],
  });
  child = run;
  let text = "";
  run.stdout?.on("data", (data: Buffer) => {
    text += data.toString();
  });
  const code = await new Promise<number | null>((resolve, reject) => {
    run.on("error", reject);
    run.on("close", resolve);
  });
  child = undefined;
  if (code !== 0) throw new Error(stopped ? "stopped" : `${name} ended with code ${code}; see above`);
  return text;
}

const measured = async <T>(job: Job): Promise<T> =>
  JSON.parse(await script("card", ["--job", JSON.stringify(job)], "pipe"));

/** What is measured on one device in one type. */
class Measurement {
  readonly #folders: ReadonlyMap<ModelName, string>;
  readonly #options: Options;
  readonly #place: Place;
  readonly #plans = new Map<ModelName, Plan>();
  readonly #samples = new Map<string, Sample[]>();
  readonly #peaks = new Map<ModelName, { highWater: number; of: string }>();

  constructor(folders: ReadonlyMap<ModelName, string>, options: Options, place: Place) {
    [this.#folders, this.#options, this.#place] = [folders, options, place];
  }

  async run(): Promise<Report> {
    const { rounds, quick } = this.#options;
    for (const name of this.#folders.keys()) await this.#plan(name);
    const began = elapsed();
    for (let round = 0; round < rounds; round++) {
      if (quick && round > 0 && elapsed() - began > quickSeconds) break;
      const shared = new Map<string, PartTime>();
      const order = [...this.#folders.keys()].filter((name) => this.#plans.get(name)!.fits !== "no");
      for (const name of round % 2 === 0 ? order : order.reverse()) {
        say(`${modelNamed(name).title}, ${this.#place.dtype}, round ${round + 1} of ${rounds}`);
        await (quick ? this.#parts(name, shared) : this.#images(name));
      }
    }
    return this.#report();
  }

  #job(name: ModelName) {
    const pixels = this.#options.pixels ?? modelNamed(name).pixels;
    return { folder: this.#folders.get(name)!, pixels, place: this.#place };
  }

  async #plan(name: ModelName): Promise<void> {
    const plan = await measured<Plan>({ ...this.#job(name), kind: "plan" });
    this.#plans.set(name, plan);
    for (const note of plan.notes) say(note);
    const needs = `${(plan.oneByOne / 1e9).toFixed(2)} GB part by part, ${(plan.kept / 1e9).toFixed(2)} GB kept`;
    say(
      `${modelNamed(name).title}: ${needs}; ${plan.fits === "no" ? "does not fit, so is left out" : "fits"}`,
    );
  }

  /** Part by part; what SDXL's family shares once a round. */
  async #parts(name: ModelName, shared: Map<string, PartTime>): Promise<void> {
    const { family } = modelNamed(name);
    const times = new Map<Part, PartTime>();
    for (const part of this.#options.parts) {
      const key = `${family} ${part}`;
      const known = part === "unet" ? undefined : shared.get(key);
      const time = known ?? (await measured<PartTime>({ ...this.#job(name), kind: "part", part }));
      if (known === undefined) {
        say(`  ${part}: ${time.seconds.toFixed(2)} s (${time.cpuSeconds.toFixed(2)} s of all threads)`);
      }
      shared.set(key, time);
      times.set(part, time);
      this.#peak(name, time);
    }
    const [text, vae, call] = [times.get("text"), times.get("vae"), times.get("unet")!];
    for (const { title, steps, model } of cardRows) {
      if (model !== name) continue;
      const others = { ...(text && { text: text.seconds }), ...(vae && { vae: vae.seconds }) };
      const cpu = call.of === "the process" ? { unetCpu: steps * call.cpuSeconds } : {};
      this.#add(title, { unet: steps * call.seconds, ...cpu, ...others });
    }
  }

  async #images(name: ModelName): Promise<void> {
    const rows = cardRows.filter(({ model }) => model === name);
    const steps = rows.map((row) => row.steps);
    const times = await measured<ImageTimes>({ ...this.#job(name), kind: "image", steps });
    this.#peak(name, times);
    for (const [i, { title }] of rows.entries()) {
      const image = times.images[i]!;
      say(`  ${image.steps} steps: ${(image.text + image.unet + image.vae).toFixed(2)} s`);
      this.#add(title, image);
    }
  }

  #add(title: string, sample: Sample): void {
    this.#samples.set(title, [...(this.#samples.get(title) ?? []), sample]);
  }

  #peak(name: ModelName, { highWater, of }: { highWater?: number; of: string }): void {
    if (highWater === undefined) return;
    this.#peaks.set(name, { highWater: Math.max(highWater, this.#peaks.get(name)?.highWater ?? 0), of });
  }

  #report(): Report {
    const rows: Measured[] = cardRows.flatMap((row) => {
      const plan = this.#plans.get(row.model);
      if (plan === undefined) return [];
      return [{ row, plan, samples: this.#samples.get(row.title) ?? [], ...this.#peaks.get(row.model) }];
    });
    const { device, dtype } = rows[0]!.plan;
    const { quick: inParts = false, pixels } = this.#options;
    return { device, dtype, method: method(this.#options), ...(pixels && { pixels }), inParts, rows };
  }
}

/** How the seconds came about, in words. */
function method({ quick, pixels, parts }: Options): string {
  const sized = pixels === undefined ? "" : ` All at ${pixels} px, which is not the card's size.`;
  if (!quick) return `Whole images through the pipeline, after one of two steps that is not counted.${sized}`;
  const what = parts.join(", ");
  return (
    `--quick, with fewer steps: one call of the U-Net (on the CPU on one row, counted twice for guidance), times the steps. ` +
    `Measured: ${what}, each in a process of its own after a warm-up.${sized}`
  );
}

async function main(options: Options): Promise<void> {
  const root = options.weights ?? (await mkdtemp(path.join(tmpdir(), "koala-card-")));
  await mkdir(root, { recursive: true });
  const stop = () => {
    stopped = true;
    child?.kill("SIGTERM");
  };
  process.on("SIGINT", stop).on("SIGTERM", stop);
  try {
    const folders = new Map<ModelName, string>();
    for (const name of options.models) {
      const make = async (args: readonly string[]) => {
        say(`making weights of ${modelNamed(name).title}`);
        await script("make-model", args, "ignore");
      };
      folders.set(name, await modelFolder(modelNamed(name) as Model, root, options.clip, make));
    }
    const reports: Report[] = [];
    for (const dtype of options.dtype) {
      const report = await new Measurement(folders, options, placeOf(options, dtype)).run();
      process.stdout.write(`${reports.length > 0 ? "\n" : ""}${reportTable(report)}`);
      reports.push(report);
    }
    if (options.json !== undefined) await writeFile(options.json, json(reports));
    say("done");
  } catch (error) {
    if (!stopped) throw error;
    say("stopped");
    process.exitCode = 130;
  } finally {
    await removeUnfinished(root);
    if (options.weights === undefined) await rm(root, { recursive: true, force: true });
  }
}

const placeOf = (
  { threads, weights: _, ...options }: Options,
  dtype: NonNullable<Place["dtype"]>,
): Place => ({
  ...deviceFlags({ ...options, dtype }),
  ...(threads !== undefined && { threads }),
});

const json = (reports: readonly Report[]) => {
  const all = reports.map((report) => ({
    ...report,
    rows: report.rows.map((one) => rowNumbers(report, one)),
  }));
  return `${JSON.stringify(all, undefined, 2)}\n`;
};

/** A list of names out of those that there are. */
const listOf =
  <T extends string>(known: readonly T[]) =>
  (text: string): T[] => {
    const names = text.split(",") as T[];
    const wrong = names.find((name) => !known.includes(name));
    if (wrong === undefined) return names;
    throw new InvalidArgumentError(`"${wrong}" is none of ${known.join(", ")}.`);
  };

function partsOption(text: string): Part[] {
  const found = listOf(parts)(text);
  if (found.includes("unet")) return found;
  throw new InvalidArgumentError("unet must be among them.");
}

const job = process.argv.indexOf("--job");
if (job > 0) {
  await runJob(JSON.parse(process.argv[job + 1]!) as Job);
} else {
  const names = models.map(({ name }) => name);
  await new Command("card")
    .description(
      "Measure the tables of KOALA's model card on a device, with random weights of the real shapes.",
    )
    .option("--device <name>", "cpu, webgpu, cuda, dml, coreml or auto", deviceOption, "cpu")
    .option(
      "--dtype <list>",
      "float32, float16 or both: a table for each",
      (text) => text.split(",").map(dtypeOption),
      ["float32"],
    )
    .option("--device-memory <size>", "what may be taken there, such as 8GB", bytesOption)
    .option("--threads <n>", "of the CPU", threadsOption)
    .option("--allow-cpu-fallback", "single operations may run on the CPU")
    .option("--allow-software-adapter", "a driver may compute on the CPU")
    .option("--models <list>", `of ${names.join(", ")}`, listOf(names), names)
    .option(
      "--quick",
      "one call of each U-Net times the steps: under 8 minutes on two cores, once weights are made",
    )
    .option("--parts <list>", `with --quick: of ${parts.join(", ")}; unet must be among them`, partsOption, [
      ...parts,
    ])
    .option(
      "--rounds <n>",
      "turns of all models (with --quick as many as begin in four minutes)",
      wholeOption,
      2,
    )
    .option("--pixels <n>", "another side for all images, to try it out", wholeOption)
    .option(
      "--weights <folder>",
      "keep the models there, 12 GB (default: a temporary folder, removed at the end)",
    )
    .option("--clip <folder>", "CLIP's vocab.json and merges.txt", path.join("models", "nano", "tokenizer"))
    .option("--json <file>", "write the numbers there too")
    .action(main)
    .parseAsync();
}
