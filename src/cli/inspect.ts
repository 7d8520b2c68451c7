/** @file `koala inspect`: what a model folder, a weights file, an adapter or an embedding holds, and what is missing. */

import { Command } from "commander";
import { byteSize } from "../byte-size.js";
import { type InspectReport, inspectPath, type ModelReport } from "../pipeline/inspect.js";
import type { AdapterReport, FittingModel } from "../pipeline/inspect-adapter.js";
import type { EmbeddingReport } from "../pipeline/inspect-embedding.js";
import { printable } from "../pipeline/metadata/schema.js";
import { textTable } from "./table.js";
import { exitCodes, warn } from "./terminal.js";

type Options = { variant?: string; config?: string; ema?: boolean; json?: boolean };

export function inspectCommand(): Command {
  return new Command("inspect")
    .description(
      "List what a model folder or one safetensors file holds, and what is missing: the components of a model, the layers of " +
        "an adapter such as a LoRA and the models it fits, the vectors of a textual inversion.",
    )
    .argument("<path>", "diffusers folder, folder of one component, or .safetensors file")
    .option("--variant <name>", "weight files to look at, such as fp16")
    .option("--config <folder>", "of a single file: the configs of this folder")
    .option("--ema", "of a single file: its moving average of the weights (model_ema)")
    .option("--json", "print JSON")
    .addHelpText(
      "after",
      "\nExamples:\n  koala inspect ./koala-lightning-700m\n  koala inspect style.safetensors\n",
    )
    .action(async (at: string, { json, ...options }: Options) => {
      const report = await inspectPath(at, options);
      const { warnings = [], notes = [], ...found } = { warnings: [], ...report };
      for (const warning of warnings) warn(warning);
      const said = notes.map((note) => `${printable(note)}\n`).join("");
      process.stdout.write(
        json
          ? `${JSON.stringify({ ...found, ...(notes.length > 0 && { notes }) }, undefined, 2)}\n`
          : `${report.title}\n\n${tableOf(report)}${said && `\n${said}`}`,
      );
      if (hasProblem(report)) process.exitCode = exitCodes.failed;
    });
}

function hasProblem(report: InspectReport): boolean {
  if (report.kind === "model") return report.components.some(({ problem }) => problem);
  return report.kind === "embedding" && report.tensors.some(({ problem }) => problem);
}

function tableOf(report: InspectReport): string {
  switch (report.kind) {
    case "model":
      return modelTable(report);
    case "adapter":
      return adapterTable(report);
    case "embedding":
      return embeddingTable(report);
    default:
      return report satisfies never;
  }
}

const numeric = true;

function modelTable({ components }: ModelReport): string {
  const rows = components.map((f) => [
    f.component,
    String(f.tensors),
    f.parameters.toLocaleString("en"),
    f.dtypes,
    byteSize(f.bytes),
    f.problem ?? "whole",
  ]);
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

function adapterTable({ networks, layers, fits }: AdapterReport): string {
  const rows = networks.map((one) => [
    one.network,
    String(one.layers),
    countsOf(one.kinds),
    one.ranks.length > 4 ? `${one.ranks[0]} to ${one.ranks.at(-1)}` : one.ranks.join(", "),
    countsOf(one.targets),
    one.parameters.toLocaleString("en"),
    one.dtypes,
    byteSize(one.bytes),
  ]);
  const columns = [
    { title: "network" },
    { title: "layers", numeric },
    { title: "kinds" },
    { title: "ranks" },
    { title: "changes" },
    { title: "parameters", numeric },
    { title: "dtypes" },
    { title: "size", numeric },
  ];
  return `${textTable(columns, rows)}\n${fittingNote(fits, layers)}\n`;
}

const countsOf = (counts: Readonly<Record<string, number>>): string =>
  Object.entries(counts)
    .map(([name, count]) => `${count} ${name}`)
    .join(", ");

/** In which published models all layers are, or most. */
function fittingNote(fits: readonly FittingModel[], layers: number): string {
  const whole = fits.filter((one) => one.layers === layers).map(({ model }) => model);
  if (whole.length > 0) return `fits ${whole.join(", ")}: all ${layers} layers`;
  const [best] = fits;
  if (!best) return `fits no published model: koala generate says whether it fits yours`;
  return `fits ${best.model} in ${best.layers} of ${layers} layers; the others are left out there`;
}

function embeddingTable({ token, tensors, fits }: EmbeddingReport): string {
  const rows = tensors.map((one) => [
    one.key,
    String(one.vectors),
    String(one.width),
    one.dtype,
    one.problem ?? "whole",
  ]);
  const columns = [
    { title: "tensor" },
    { title: "vectors", numeric },
    { title: "width", numeric },
    { title: "dtype" },
    { title: "state" },
  ];
  const models = fits === undefined ? "fits no published model: its widths are others" : `fits ${fits}`;
  return `${textTable(columns, rows)}\n${models}; in prompts it is "${printable(token)}" unless --embedding names it\n`;
}
