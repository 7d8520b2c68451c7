/** @file `npm run golden -- FOLDER`: compares what this build computes with what Diffusers computed. */

import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { parsePrecision, parseWeights } from "../src/engine/device.js";
import type { Engine } from "../src/engine/engine.js";
import { type Opened, openBlockingEngine, openEngine } from "../src/engine/open-engine.js";
import { EngineError, InvalidRequest } from "../src/errors.js";
import { kindOf } from "../src/files/file-system.js";
import { goldenLayers } from "./conformance/layers.js";
import { reportLine, summary } from "./conformance/report.js";
import { conform, exitCode, sections } from "./conformance/run.js";
import { lazy } from "./distill/folder.js";
import { SingleFiles } from "./single/files.js";

const help = `npm run golden -- [FOLDER] [--under FOLDER] [--only PATTERN]... [--threads N]
                 [--device NAME] [--dtype TYPE] [--weights FORMAT]

Compares this build with a folder of golden data (default: golden/data): what Diffusers computed, from
random numbers and token ids to images. A line per table, stage and run:

  ok    stages/sdxl-tiny/unet.square    3.1e-06 of 1e-04  66 tensors, worst conv_out

that is the largest difference relative to a tensor's largest magnitude (in distil/ also other measures, of
single numbers, of vectors and of quantiles), the tolerance, and the tensor that uses most of it; for
runs the PSNR of the image as well; for a failure the first tensor, in the order of computing, that is out.

A folder may lie over an older one: inputs that it does not hold are looked for there, and pipelines that
links.json and patch.json describe are completed. Lines that begin with ---- name what this build has no
check for.

  --under FOLDER   the older one (default: golden beside FOLDER, else golden/data)
  --only PATTERN   only rows whose "section/name" contains PATTERN, or matches it if it has * or ?; may be
                   given again
                   sections: ${Object.keys(sections).join(", ")}
  --threads N      threads of one operation (default 1)
  --device NAME    cpu (default), webgpu, cuda, dml, coreml or auto; software adapters such as lavapipe are
                   taken too. The tolerances are the CPU's
  --dtype TYPE     float32 (default) or float16, whose tolerances are four times PyTorch's own error
  --weights FORMAT stored (default), int8 or int8-fast: whole runs, within twice what was measured
  --help           this

The real CLIP vocabulary and TAESDXL's weights, where the folder has tables of them, are looked for beside
the folder, in clip/ and weights/taesdxl/.
Exit code: 0 if all compared rows are ok; 1 if any is out, if inputs are absent, or if nothing was compared;
2 for a wrong command line.

Example: npm run golden -- golden/data --only "runs/*/wide"`;

/** Runs the command line and returns its exit code; `print` takes lines. */
export async function main(args: readonly string[], print: (text: string) => void): Promise<number> {
  const { help: wantsHelp, folder, under, only = [], ...options } = readArguments(args);
  if (wantsHelp) {
    print(help);
    return 0;
  }
  const absent = await firstAbsent(under === undefined ? [folder] : [folder, under]);
  if (absent !== undefined) {
    print(`${absent}: must be a folder of golden data, got nothing. Check the path.`);
    return 1;
  }
  const started = performance.now();
  const layers = await goldenLayers(folder, under);
  const single = new SingleFiles(layers);
  const engine = await openEngine(options);
  if (args.some((arg) => /^--(device|dtype)\b/.test(arg))) print(describeDevice(engine));
  const openBlocking = lazy(() => openBlockingEngine(options));
  try {
    const onResult = (result: Parameters<typeof reportLine>[0]) => print(reportLine(result));
    const results = await conform({ folder, layers, single, engine, openBlocking }, { onResult, only });
    print(summary(results, (performance.now() - started) / 1000));
    const code = exitCode(results);
    if (!results.some((r) => r.tensors.length > 0)) {
      print(`Nothing was compared in ${folder}${only.map((pattern) => ` with --only ${pattern}`).join("")}.`);
    }
    return code;
  } finally {
    await engine.close();
    await single.close();
    await layers.close();
  }
}

/** The folder, what to compare, and what to compare it on; TypeError or InvalidRequest. */
function readArguments(args: readonly string[]) {
  const options = {
    only: { type: "string", multiple: true },
    under: { type: "string" },
    threads: { type: "string", default: "1" },
    device: { type: "string", default: "cpu" },
    dtype: { type: "string", default: "float32" },
    weights: { type: "string", default: "stored" },
    help: { type: "boolean", default: false },
  } as const;
  const { values, positionals } = parseArgs({ args: [...args], options, allowPositionals: true });
  const { threads, device, dtype: type, weights: format, ...rest } = values;
  if (!/^\d+$/.test(threads)) throw new TypeError(`--threads: must be a whole number, got ${threads}`);
  const [dtype, weights] = [parsePrecision(type), parseWeights(format)];
  if (positionals.length > 1) throw new TypeError(`one folder at a time, got ${positionals.join(" and ")}`);
  const folder = positionals[0] ?? fileURLToPath(new URL("./data", import.meta.url));
  return { ...rest, folder, device, dtype, weights, threads: Number(threads), allowSoftwareAdapter: true };
}

/** What was taken, why, and what is not as it was asked for. */
const describeDevice = ({ device: { name, dtype }, reason, warnings }: Engine & Opened): string =>
  [`${name} in ${dtype}: ${reason}`, ...warnings.map((warning) => `warning: ${warning}`)].join("\n");

async function firstAbsent(folders: readonly string[]): Promise<string | undefined> {
  for (const folder of folders) if ((await kindOf(folder)) !== "folder") return folder;
  return undefined;
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  try {
    process.exitCode = await main(process.argv.slice(2), (text) => console.log(text));
  } catch (error) {
    if (error instanceof TypeError || error instanceof InvalidRequest) {
      console.error(`${error.message}\nSee npm run golden -- --help`);
      process.exitCode = 2;
    } else if (error instanceof EngineError) {
      console.error(error.message);
      process.exitCode = 1;
    } else throw error;
  }
}
