/** @file `koala inspect`: lists the components of a model folder or the tensors of a weights file, and what is missing. */

import path from "node:path";
import { Command } from "commander";
import { blockingEngine } from "../engine/ort/blocking-engine.js";
import { InvalidRequest, listed, ModelError } from "../errors.js";
import { kindOf } from "../files/file-system.js";
import { clipText } from "../models/clip.js";
import { checkWeightShapes } from "../pipeline/component.js";
import { loadComponents } from "../pipeline/components.js";
import { input, param } from "../tensor/operations.js";
import { manifest, type Params } from "../tensor/params.js";
import { count } from "../tensor/tensor.js";
import { resolveWeights, type WeightSet } from "../weights/component.js";
import { textTable } from "./table.js";
import { exitCodes, warn } from "./terminal.js";

/** One network of a folder; `problem` says what is missing or does not fit, if anything. */
type Finding = {
  component: string;
  tensors: number;
  parameters: number;
  dtypes: string;
  bytes: number;
  problem: string | undefined;
};

export function inspectCommand(): Command {
  return new Command("inspect")
    .description(
      "List the components of a model folder, or of one safetensors file: counts, dtypes, what is missing.",
    )
    .argument("<path>", "diffusers folder, folder of one component, or .safetensors file")
    .option("--variant <name>", "weight files to look at, such as fp16")
    .option("--json", "print JSON")
    .addHelpText("after", "\nExample:\n  koala inspect ./koala-lightning-700m\n")
    .action(async (at: string, { variant, json }: { variant?: string; json?: boolean }) => {
      const { title, findings, warnings } = await inspect(at, variant === undefined ? {} : { variant });
      for (const warning of warnings) warn(warning);
      if (json) process.stdout.write(`${JSON.stringify({ title, components: findings }, undefined, 2)}\n`);
      else process.stdout.write(`${title}\n\n${table(findings)}`);
      if (findings.some((f) => f.problem)) process.exitCode = exitCodes.failed;
    });
}

/** Reads configs and headers, never the weights; throws a ModelError if nothing here can be read. */
async function inspect(
  at: string,
  options: { variant?: string } = {},
): Promise<{ title: string; findings: Finding[]; warnings: readonly string[] }> {
  const whole = (await kindOf(path.join(at, "model_index.json"))) === "file";
  if (!whole) {
    const kind = await kindOf(at);
    if (kind === undefined)
      throw new InvalidRequest("path", at, `must be a folder or a file, got "${at}", which does not exist.`);
    const weights = await resolveWeights(at, options);
    const findings = [finding(path.basename(at), weights, undefined)];
    return { title: path.basename(at), findings, warnings: [] };
  }
  const { folder, unet, vae, textEncoders, scheduler, warnings } = await loadComponents(at, {
    engine: blockingEngine(),
    ...options,
  });
  const findings = [
    ...textEncoders.map(({ component, config }) =>
      check(component.name, component.file, component.weights, (p) =>
        clipText(p, config, input("ids", [1, config.maxTokens], "int64")),
      ),
    ),
    check("unet", unet.component.file, unet.component.weights, unet.trace),
    check("vae", vae.component.file, vae.component.weights, (p) => [
      vae.encode(p, input("image", [1, 3, 64, 64])),
      vae.decode(p, input("latents", [1, vae.latentChannels, 8, 8])),
    ]),
  ];
  return { title: `${folder.className} with ${scheduler.className}`, findings, warnings };
}

function check(name: string, file: string, weights: WeightSet, trace: (p: Params) => unknown): Finding {
  const wanted = new Map([...manifest(trace)].map(([path, shape]) => [path, param(path, shape)]));
  try {
    const unexpected = checkWeightShapes(file, wanted, weights);
    return finding(
      name,
      weights,
      unexpected.length > 0 ? `${unexpected.length} unused: ${listed(unexpected, 2)}` : undefined,
    );
  } catch (error) {
    if (error instanceof ModelError) return finding(name, weights, error.message);
    throw error;
  }
}

function finding(component: string, weights: WeightSet, problem: string | undefined): Finding {
  const tensors = [...weights.tensors.values()];
  const dtypes = [...new Set(tensors.map((t) => t.dtype))].sort().join(" ");
  const parameters = tensors.filter((t) => /F/.test(t.dtype)).reduce((sum, t) => sum + count(t.shape), 0);
  return { component, tensors: tensors.length, parameters, dtypes, bytes: weights.totalBytes, problem };
}

function table(findings: readonly Finding[]): string {
  const rows = findings.map((f) => [
    f.component,
    String(f.tensors),
    f.parameters.toLocaleString("en"),
    f.dtypes,
    readable(f.bytes),
    f.problem ?? "whole",
  ]);
  const numeric = true;
  const columns = [
    { title: "component" },
    { title: "tensors", numeric },
    { title: "parameters", numeric },
    { title: "dtypes" },
    { title: "size", numeric },
    { title: "state" },
  ];
  return textTable(columns, rows);
}

/** 1234567 -> "1.2 MB", in powers of ten as the Hub counts. */
function readable(bytes: number): string {
  const [unit, size] = bytes >= 1e9 ? ["GB", 1e9] : bytes >= 1e6 ? ["MB", 1e6] : ["kB", 1e3];
  return `${(bytes / (size as number)).toFixed(bytes >= 1e9 ? 2 : 1)} ${unit}`;
}
