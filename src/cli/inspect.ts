/** @file `koala inspect`: lists the components of a model folder or the tensors of a weights file, and what is missing. */

import { Command } from "commander";
import { type ComponentReport, inspectModel } from "../pipeline/inspect.js";
import { textTable } from "./table.js";
import { exitCodes, size, warn } from "./terminal.js";

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
      const { title, components, warnings } = await inspectModel(
        at,
        variant === undefined ? {} : { variant },
      );
      for (const warning of warnings) warn(warning);
      if (json) process.stdout.write(`${JSON.stringify({ title, components }, undefined, 2)}\n`);
      else process.stdout.write(`${title}\n\n${table(components)}`);
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
