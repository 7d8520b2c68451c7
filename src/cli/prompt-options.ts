/** @file The options of the command line that say how prompts are read. */

import { type Command, Option } from "commander";
import { readWildcards } from "../pipeline/read-wildcards.js";
import type { GenerateRequest } from "../pipeline/request.js";
import {
  type Emphasis,
  emphasisRules,
  type LongPrompts,
  longPromptRules,
  type PromptSyntax,
  promptSyntaxes,
} from "../text/prompt-rules.js";

export type PromptOptions = {
  promptSyntax?: PromptSyntax;
  longPrompts?: LongPrompts;
  padConditions?: boolean;
  emphasis?: Emphasis;
  dynamicPrompts?: boolean;
  wildcards?: string;
  loraFolder?: string;
};

/** Adds the options to a command. */
export function withPromptOptions(command: Command): Command {
  return command
    .addOption(
      new Option(
        "--prompt-syntax <name>",
        "read prompts as plain text (none) or as AUTOMATIC1111 does",
      ).choices(promptSyntaxes),
    )
    .addOption(
      new Option(
        "--long-prompts <rule>",
        "beyond the encoder's tokens: cut, or read in chunks (default)",
      ).choices(longPromptRules),
    )
    .option("--pad-conditions", "fill the shorter of prompt and negative prompt up with empty chunks")
    .addOption(
      new Option(
        "--emphasis <rule>",
        "of a1111: after the weights, restore the mean (original, the default) or not",
      ).choices(emphasisRules),
    )
    .option("--dynamic-prompts", "expand {a|b} and __wildcard__, by each image's seed")
    .option("--wildcards <folder>", "text files for __wildcard__, an alternative per line")
    .option("--lora-folder <folder>", "where <lora:NAME:0.8> in prompts finds NAME.safetensors");
}

type Reading = Pick<
  GenerateRequest,
  "promptSyntax" | "longPrompts" | "padConditions" | "emphasis" | "dynamicPrompts" | "wildcards"
>;

/** What a request says of it; `saved` is an image's own, whose `longPrompts` is Diffusers' if it is left out. */
export async function promptReading(options: PromptOptions, saved?: Reading): Promise<Reading> {
  const { promptSyntax, padConditions, emphasis, dynamicPrompts, wildcards } = options;
  const longPrompts = options.longPrompts ?? (saved ? saved.longPrompts : "chunks");
  return {
    ...(promptSyntax !== undefined && { promptSyntax }),
    ...(longPrompts !== undefined && { longPrompts }),
    ...(padConditions && { padConditions }),
    ...(emphasis !== undefined && { emphasis }),
    ...(dynamicPrompts && { dynamicPrompts }),
    ...(wildcards !== undefined && { wildcards: await readWildcards(wildcards) }),
  };
}
