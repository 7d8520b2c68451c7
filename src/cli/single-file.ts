/** @file The options of commands that open a single file, which has no configs and no tokenizer. */

import type { Command } from "commander";
import { downloadModel } from "./models.js";

/** As the library's options of the same names; servers take no moving averages. */
export type SingleFileFlags = { config?: string; tokenizer?: string; ema?: boolean };

/** Adds the two that servers have too. */
export const withConfigFlags = (command: Command): Command =>
  command
    .option("--config <model>", "of single files: take this model's configs (folder or Hub id)")
    .option("--tokenizer <folder>", "of single files: CLIP's tokenizer (default: from the Hub)");

/** Adds all of them to a command. */
export const withSingleFileFlags = (command: Command): Command =>
  withConfigFlags(command).option("--ema", "of a single file: its moving average of the weights (model_ema)");

/** Those that were given. */
export const singleFileFlags = ({ config, tokenizer, ema }: SingleFileFlags): SingleFileFlags => ({
  ...(config !== undefined && { config }),
  ...(tokenizer !== undefined && { tokenizer }),
  ...(ema !== undefined && { ema }),
});

/** The same for a server: configs that are on the Hub are downloaded. */
export const servedFileFlags = async (
  { config, tokenizer }: SingleFileFlags,
  quiet = false,
): Promise<Pick<SingleFileFlags, "config" | "tokenizer">> => ({
  ...(config !== undefined && { config: await downloadModel(config, { quiet, configsOnly: true }) }),
  ...(tokenizer !== undefined && { tokenizer }),
});
