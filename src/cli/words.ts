/** @file `koala words`: lists the vocabulary of the bundled model, or of another one with a `words.json`. */

import { Command } from "commander";
import { InvalidRequest } from "../errors.js";
import { modelOrBundled } from "../hub/bundled-models.js";
import { resolveModel } from "../hub/resolve.js";
import { readVocabulary } from "../pipeline/read-vocabulary.js";
import { bold } from "./colors.js";

type Options = { model?: string; json?: boolean };

export function wordsCommand(): Command {
  return new Command("words")
    .description("List the words that the bundled model knows: nouns, drawing styles, backgrounds.")
    .option("-m, --model <folder>", "another model that has a words.json")
    .option("--json", "print them as JSON")
    .addHelpText("after", '\nExample:\n  koala generate "a koala, line art, on a yellow background"\n')
    .action(list);
}

async function list({ model, json }: Options): Promise<void> {
  const folder = await resolveModel(modelOrBundled(model));
  const words = await readVocabulary(folder);
  if (!words) {
    const rule = `must be a model with a words.json, got ${folder}. A large model has no list of words.`;
    throw new InvalidRequest("--model", model, rule);
  }
  if (json) return void process.stdout.write(`${JSON.stringify(words, undefined, 2)}\n`);
  const { nouns, styles, backgrounds } = words;
  const shown = [
    [`${nouns.length} nouns`, nouns.map(spelt)],
    [`${styles.length} drawing styles`, styles.map(spelt)],
    [`${backgrounds.length} backgrounds`, backgrounds],
  ] as const;
  for (const [title, names] of shown) process.stdout.write(`${bold(title)}\n${wrapped(names)}\n\n`);
  process.stdout.write('A prompt joins them: "a koala, line art, on a yellow background".\n');
}

const spelt = ({ name, aliases }: { name: string; aliases: readonly string[] }) =>
  aliases.length > 0 ? `${name} (${aliases.join(", ")})` : name;

/** Lines of at most 100 letters. */
function wrapped(names: readonly string[]): string {
  const lines: string[] = [];
  for (const name of names) {
    const last = lines.at(-1);
    if (last !== undefined && last.length + name.length < 98) lines[lines.length - 1] = `${last}, ${name}`;
    else lines.push(`  ${name}`);
  }
  return lines.join(",\n");
}
