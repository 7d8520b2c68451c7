/**
 * @file The library's option names as flags. Errors of library functions name options as in code, `learningRate`; on the
 * command line they read `--lr`.
 */

import type { Command } from "commander";
import { InvalidRequest, ModelError } from "../errors.js";
import type { Limits } from "../jobs/model-schemas.js";
import type { ConvertOptions } from "../pipeline/convert/convert.js";
import type { GenerateRequest } from "../pipeline/request.js";
import type { ServeOptions } from "../server/serve.js";
import { kebabCase } from "./settings-flag.js";
import { runFlags, trainingFlags } from "./training-options.js";

const generationFlags = {
  numInferenceSteps: "steps",
  guidanceScale: "guidance",
  negativePrompt: "negative",
  numImagesPerPrompt: "count",
  denoisingStart: "denoisingStart",
  clipSkip: "clipSkip",
} satisfies Partial<Record<keyof GenerateRequest, string>>;

const convertFlags = {
  shardBytes: "shardSize",
} satisfies Partial<Record<keyof ConvertOptions, string>>;

const serverFlags = {
  models: "model",
  aliases: "alias",
  loras: "lora",
  embeddings: "embedding",
  apiKey: "apiKey",
  noAuth: "noAuth",
  "limits.bodyBytes": "maxBody",
  "limits.pixels": "maxPixels",
  "limits.steps": "maxSteps",
  "limits.count": "maxCount",
  "limits.queue": "maxQueue",
} satisfies Partial<Record<keyof ServeOptions | `limits.${keyof Limits}`, string>>;

/** Flags by the library's option, both in camelCase. An option that is no row has a flag of its own name, or none. */
const flags: Readonly<Record<string, string | undefined>> = {
  ...trainingFlags,
  ...runFlags,
  ...generationFlags,
  ...convertFlags,
  ...serverFlags,
};

const settingsFlags = { consistency: true, trajectory: true, loss: true, lora: true } satisfies Partial<
  Record<keyof typeof trainingFlags, true>
>;

/** "lrSchedule" -> "--lr-schedule" */
const spelt = (flag: string): string => `--${kebabCase(flag)}`;

/** A sentence of the library with its options as flags: those of several words, and those in backticks. */
export function inFlags(text: string): string {
  // "seed" and "loss" are words of English too, and stay where they are not in backticks.
  const names = Object.keys(flags).filter((name) => flags[name] && /[A-Z]/.test(name));
  // Quoted text is the user's own, and a path may hold anything.
  const mention = new RegExp(
    `"[^"]*"|\`\\w+\`|(?<![\\w./\\\\-])(?:${names.join("|")})(?![\\w/\\\\-]|\\.\\w)`,
    "g",
  );
  return text.replace(mention, (found) => {
    const flag = flags[found.replaceAll("`", "")];
    return found.startsWith('"') || flag === undefined ? found : spelt(flag);
  });
}

/** The error as `command` is to report it, with options as flags. */
export function onCommandLine(error: unknown, command: Command | undefined): unknown {
  if (error instanceof ModelError) {
    const { length } = error.file;
    error.message = error.message.slice(0, length) + inFlags(error.message.slice(length));
  }
  if (!(error instanceof InvalidRequest)) return error;
  const { field, value, message } = error;
  const [option, setting] = field.split(".") as [string, string | undefined];
  const flag = command?.options.find(
    (one) => one.attributeName() === (flags[field] ?? flags[option] ?? option),
  )?.long;
  // A flag with settings of its own names the setting as well.
  const name = flag && setting && option in settingsFlags ? `${flag} ${kebabCase(setting)}` : flag;
  return new InvalidRequest(name ?? field, value, inFlags(message.slice(field.length + 2)));
}
