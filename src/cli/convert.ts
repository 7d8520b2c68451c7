/** @file `koala convert`: a single file to a diffusers folder and back, another dtype, shards, LoRAs merged in. */

import { Command, InvalidArgumentError, Option } from "commander";
import { byteSize } from "../byte-size.js";
import { openEngine } from "../engine/open-engine.js";
import { convertModel } from "../pipeline/convert/convert.js";
import type { Lora } from "../pipeline/lora.js";
import { loraOption } from "./lora.js";
import { downloadComponents, downloadModel } from "./models.js";
import { type SingleFileFlags, singleFileFlags, withSingleFileFlags } from "./single-file.js";
import { duration, ProgressBar, stopOnInterrupt, warn } from "./terminal.js";

type Options = SingleFileFlags & {
  dtype?: "float32" | "float16" | "bfloat16";
  shardSize?: number;
  unet?: string;
  vae?: string;
  textEncoder?: string;
  textEncoder2?: string;
  lora?: Required<Lora>[];
  revision?: string;
  variant?: string;
  withoutSafetyChecker?: boolean;
  quiet?: boolean;
};

export function convertCommand(): Command {
  const command = new Command("convert")
    .description(
      "Convert a model: a single file to a diffusers folder and back, to another dtype, with LoRAs merged in. Never overwrites.",
    )
    .argument("<model>", "single file, diffusers folder or Hub id")
    .argument("<output>", "a single file if it ends in .safetensors, else a folder")
    .addOption(
      new Option("--dtype <name>", "of the weights (default: as stored)").choices([
        "float32",
        "float16",
        "bfloat16",
      ]),
    )
    .option(
      "--shard-size <size>",
      "cut the weights in a folder into files of at most this, such as 5GB",
      bytes,
    )
    .option("--vae <path>", "with another autoencoder: folder, file, name on the Hub, or tiny")
    .option("--unet <path>", "with another U-Net: the same")
    .option("--text-encoder <path>", "with another text encoder, SDXL's first: the same")
    .option("--text-encoder-2 <path>", "with another second text encoder of SDXL: the same")
    .option(
      "--lora <path[:scale]>",
      "merge a LoRA into the weights: the same; may be given again",
      loraOption,
    )
    .option("--without-safety-checker", "leave a folder's safety checker out")
    .option("--revision <name>", "branch, tag or commit of a Hub id")
    .option("--variant <name>", "weight files to take, such as fp16")
    .option("-q, --quiet", "no progress, no notes")
    .addHelpText("after", help)
    .action(convert);
  return withSingleFileFlags(command);
}

const help = `
Examples:
  koala convert ./dreams.safetensors ./dreams
  koala convert ./koala-lightning-700m ./koala.safetensors --dtype float16
  koala convert ./dreams.safetensors ./dreams-pixel --lora pixel-art.safetensors:0.8
`;

const units: Readonly<Record<string, number>> = {
  "": 1,
  kb: 1e3,
  mb: 1e6,
  gb: 1e9,
  kib: 2 ** 10,
  mib: 2 ** 20,
  gib: 2 ** 30,
};

/** "5GB" -> 5e9 */
function bytes(value: string): number {
  const [, number, unit = ""] = /^(\d+(?:\.\d+)?)\s*([kmg]i?b)?$/i.exec(value.trim()) ?? [];
  const found = number === undefined ? 0 : Number(number) * units[unit.toLowerCase()]!;
  if (found >= 1) return Math.floor(found);
  throw new InvalidArgumentError(`"${value}" is not a size such as 5GB or 500MB.`);
}

async function convert(model: string, output: string, options: Options): Promise<void> {
  const { quiet = false, dtype, shardSize, revision, variant, withoutSafetyChecker } = options;
  const say = (line: string) => void (quiet || process.stderr.write(`${line}\n`));
  const { lora, ...replaced } = await downloadComponents(options, { quiet });
  const source = await downloadModel(model, {
    quiet,
    ...(revision !== undefined && { revision }),
    ...(variant !== undefined && { variant }),
    ...(withoutSafetyChecker && { safetyChecker: false }),
  });
  const { signal, done } = stopOnInterrupt(say);
  const progress = new ProgressBar({ quiet, bytes: true });
  const started = performance.now();
  const engine = await openEngine({});
  try {
    let begun = false;
    const report = await convertModel(source, output, {
      engine,
      ...singleFileFlags(options),
      ...replaced,
      ...(lora && { loras: lora }),
      ...(withoutSafetyChecker && { safetyChecker: null }),
      ...(variant !== undefined && { variant }),
      ...(dtype !== undefined && { precision: dtype }),
      ...(shardSize !== undefined && { shardBytes: shardSize }),
      signal,
      onProgress: ({ done, total }) => {
        if (!begun) progress.start("converting", total);
        begun = true;
        progress.step(done, ((performance.now() - started) / 1000 / done) * (total - done));
      },
    });
    progress.stop();
    for (const warning of report.warnings) warn(warning);
    say(
      `${report.tensors} tensors, ${byteSize(report.bytes)}, in ${duration((performance.now() - started) / 1000)}`,
    );
    process.stdout.write(`${report.output}\n`);
  } finally {
    progress.stop();
    done();
    await engine.close();
  }
}
