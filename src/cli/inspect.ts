/** @file `koala inspect`: lists the components of a model folder or the tensors of a weights file, and what is missing. */

import { Command } from "commander";
import { type ComponentReport, inspectModel } from "../pipeline/inspect.js";
import { printable } from "../pipeline/metadata/schema.js";
import { textTable } from "./table.js";
import { exitCodes, size, warn } from "./terminal.js";

type Options = { variant?: string; config?: string; ema?: boolean; json?: boolean };

export function inspectCommand(): Command {
  return new Command("inspect")
    .description(
      "List the components of a model folder, or of one safetensors file: counts, dtypes, what is missing.",
    )
    .argument("<path>", "diffusers folder, folder of one component, or .safetensors file")
    .option("--variant <name>", "weight files to look at, such as fp16")
    .option("--config <folder>", "of a single file: the configs of this folder")
    .option("--ema", "of a single file: its moving average of the weights (model_ema)")
    .option("--json", "print JSON")
    .addHelpText("after", "\nExample:\n  koala inspect ./koala-lightning-700m\n")
    .action(async (at: string, { json, ...options }: Options) => {
      const { title, components, warnings, notes = [] } = await inspectModel(at, options);
      for (const warning of warnings) warn(warning);
      if (json)
        process.stdout.write(
          `${JSON.stringify({ title, components, ...(notes.length > 0 && { notes }) }, undefined, 2)}\n`,
        );
      else
        process.stdout.write(
          `${title}\n\n${table(components)}${notes.map((note) => `\n${printable(note)}`).join("")}${notes.length > 0 ? "\n" : ""}`,
        );
      if (components.some((f) => f.problem)) process.exitCode = exitCodes.failed;
    });
}

function table(components: readonly ComponentReport[]): string {
  const rows = components.map((f) => [
    f.component,
    String(f.tensors),
    f.parameters.toLocaleString("en"),
    f.dtypes,
    size(f.bytes),
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
