/** @file The options of commands that check images, and what they open a model with. */

import { type Command, Option } from "commander";
import type { LoadOptions } from "../pipeline/load-options.js";
import { type SafetyRule, safetyRules } from "../pipeline/safety-rules.js";

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
