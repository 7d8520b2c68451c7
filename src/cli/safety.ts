/** @file The options of commands that check images, and what they open a model with. */

import { type Command, InvalidArgumentError, Option } from "commander";
import type { Model } from "../jobs/model-schemas.js";
import { type ServedSafety, safetyLine } from "../jobs/served-safety.js";
import type { LoadOptions } from "../pipeline/load-options.js";
import { type SafetyRule, safetyRules } from "../pipeline/safety-rules.js";
import { dim } from "./colors.js";
import { type PerModel, perModel } from "./device.js";
import { downloadComponents } from "./models.js";

export type SafetyFlags = { safety?: SafetyRule; safetyChecker?: string };

/** Adds the options to a command. */
export const withSafetyOptions = (command: Command): Command =>
  command
    .addOption(
      new Option(
        "--safety <rule>",
        "images that the safety checker flags: blur (default where there is one), refuse, or off",
      ).choices(safetyRules),
    )
    .option("--safety-checker <path>", "check by this one: its folder, a model's that has it, or Hub id");

/** What a model is opened with; "off" opens it without its checker, which is then not downloaded. */
export const safetyLoad = ({ safety, safetyChecker }: SafetyFlags): Pick<LoadOptions, "safetyChecker"> => {
  if (safety === "off") return { safetyChecker: null };
  return safetyChecker === undefined ? {} : { safetyChecker };
};

/** The same of a server: a rule of all models, or of one, as in `--safety sd15=refuse`. */
export type ServedSafetyFlags = { safety?: PerModel<SafetyRule>; safetyChecker?: string };

const ruleOption = (text: string): SafetyRule => {
  const rule = safetyRules.find((one) => one === text);
  if (rule === undefined) throw new InvalidArgumentError(`It must be ${safetyRules.join(", ")}.`);
  return rule;
};

/** Adds the options to a command that serves models. */
export const withServedSafetyOptions = (command: Command): Command =>
  command
    .addOption(
      new Option(
        "--safety <[model=]rule>",
        "images that a safety checker flags: blur, refuse or off; requests may be stricter, not less",
      )
        .argParser(perModel(ruleOption))
        .env("KOALA_SAFETY"),
    )
    .addOption(
      new Option(
        "--safety-checker <path>",
        "checks models that ship none: its folder, or a name on the Hub",
      ).env("KOALA_SAFETY_CHECKER"),
    );

/** What they give, with the checker's folder, which is downloaded if need be. */
export async function servedSafety({ safety = {}, safetyChecker }: ServedSafetyFlags): Promise<ServedSafety> {
  const { "": all, ...own } = safety;
  const checker = await downloadComponents({ ...(safetyChecker !== undefined && { safetyChecker }) });
  return {
    ...(all !== undefined && { safety: all }),
    ...(Object.keys(own).length > 0 && { modelSafety: own }),
    ...(checker.safetyChecker !== undefined && { safetyChecker: checker.safetyChecker }),
  };
}

/** Says of each model whether its images are checked. */
export function noteSafety(
  models: readonly Pick<Model, "id" | "safety">[],
  print: (line: string) => void,
): void {
  for (const model of models) {
    const line = safetyLine(model);
    if (line !== undefined) print(dim(line));
  }
}
