/**
 * @file What the command line calls the options of the library. Library functions name options as their callers write
 * them, `learningRate`; whoever typed a command reads `--lr`.
 */

import type { Command } from "commander";
import { InvalidRequest } from "../errors.js";
import type { GenerateRequest } from "../pipeline/request.js";
import type { DataOptions } from "../train/data/example.js";
import { trainingFlags } from "./training-options.js";

const dataFlags = {
  captionColumn: "captionColumn",
  imageColumn: "imageColumn",
} satisfies Partial<Record<keyof DataOptions, string>>;

const generationFlags = {
  numInferenceSteps: "steps",
  guidanceScale: "guidance",
  negativePrompt: "negative",
  numImagesPerPrompt: "count",
  denoisingStart: "denoisingStart",
  clipSkip: "clipSkip",
} satisfies Partial<Record<keyof GenerateRequest, string>>;

/** Flags by the library's option, both in camelCase. An option that is no row has a flag of its own name, or none. */
const flags: Readonly<Record<string, string | undefined>> = {
  ...trainingFlags,
  ...dataFlags,
  ...generationFlags,
};

/** "lrSchedule" -> "--lr-schedule" */
const spelt = (flag: string): string => `--${flag.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`)}`;

/** A sentence of the library with its options as flags. */
export function inFlags(text: string): string {
  // "seed" and "loss" are words of English too, and stay.
  const names = Object.keys(flags).filter((name) => flags[name] && /[A-Z]/.test(name));
  // Within quotes stand words of the user's own, and a path may hold anything.
  const mention = new RegExp(`"[^"]*"|(?<![\\w./\\\\-])(?:${names.join("|")})(?![\\w/\\\\-]|\\.\\w)`, "g");
  return text.replace(mention, (found) => (found.startsWith('"') ? found : spelt(flags[found]!)));
}

/** The error as `command` is to report it: another one where an InvalidRequest is about options of the command. */
export function onCommandLine(error: unknown, command: Command | undefined): unknown {
  if (!(error instanceof InvalidRequest)) return error;
  const { field, value, message } = error;
  const [option] = field.split(".") as [string];
  const flag = command?.options.find((one) => one.attributeName() === (flags[option] ?? option))?.long;
  return new InvalidRequest(flag ?? field, value, inFlags(message.slice(field.length + 2)));
}
