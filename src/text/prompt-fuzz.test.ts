/** @file Mutated prompts: each is read or refused by name, and what is read of it is no longer than it. */

import { expect, it } from "vitest";
import { rng } from "../../test/malformed.js";
import { InvalidRequest } from "../errors.js";
import { attentionPieces, parseAttention } from "./a1111/attention.js";
import { composition } from "./a1111/composition.js";
import { promptSchedule } from "./a1111/editing.js";
import { takeLoras } from "./a1111/extra-networks.js";
import { alternativesOf, expandPrompt } from "./dynamic-prompts.js";
import { wordsOf } from "./prompt-rules.js";
import { syntaxWarnings } from "./prompt-syntax.js";

const mutations = 10_000;
const seed = 20_261_129;
const steps = 4;

const whole = [
  "a (koala:1.3) on ((a [lake])), \\(oil\\) BREAK at [dusk:night:0.5]",
  "[cat|dog|[a:b:2]] in a (hat:1.2) AND a tree :0.8 AND :-1 <lora:ink:0.8> <lora:b:te=1:unet=1>",
  "a {red|0.5::{light|dark} blue} car, {2$$ and $$a|b|c} __color__ __clothes/*__ \\{x\\}",
];
const parts =
  "( ) [ ] { } : | \\ , < > $$ :: __ * BREAK AND <lora: 1.2 :0.5) :7] -1 1e9 e \ud800 \n ${".split(" ");
const wildcards = { color: ["red", "{a|b}"], "clothes/hat": ["cap __color__"], self: ["__self__"] };

const random = rng(seed);
const below = (count: number) => Math.floor(random() * count);

/** Cuts, repeats and inserts at random. */
function mutated(prompt: string): string {
  let text = prompt;
  for (let i = 1 + below(6); i > 0; i--) {
    const [a, b] = [below(text.length + 1), below(text.length + 1)].sort((x, y) => x - y) as [number, number];
    const inserted = [
      parts[below(parts.length)]!,
      parts[below(parts.length)]!.repeat(below(40)),
      text.slice(a, a + 20),
      "",
    ][below(4)]!;
    text = text.slice(0, a) + inserted + text.slice(random() < 0.3 ? b : a);
  }
  return text.slice(0, 250);
}

/** Whether the act answered; anything but InvalidRequest fails the test. */
function answered(prompt: string, act: () => void): boolean {
  try {
    act();
    return true;
  } catch (error) {
    if (error instanceof InvalidRequest) return false;
    throw new Error(`of ${JSON.stringify(prompt)}`, { cause: error });
  }
}

const sizeOf = (texts: readonly string[]) => texts.reduce((sum, text) => sum + text.length, 0);

function checkGrammar(prompt: string): void {
  const { text } = takeLoras(prompt);
  const composed = composition(text);
  if (sizeOf(composed.map((part) => part.text)) > prompt.length) throw new Error("AND makes it longer");
  for (const part of composed) {
    const schedule = promptSchedule(part.text, steps);
    const last = schedule.at(-1)!;
    if (schedule.length > steps || last.until !== steps)
      throw new Error("the schedule does not fit the steps");
    for (const entry of schedule) {
      if (entry.text.length > part.text.length) throw new Error("a text of the schedule is longer");
      const fragments = parseAttention(entry.text);
      if (sizeOf(fragments.map((one) => one.text)) > entry.text.length)
        throw new Error("weights make it longer");
      if (!fragments.every(({ weight }) => Number.isFinite(weight)))
        throw new Error("a weight is not finite");
    }
  }
  const pieces = attentionPieces(prompt);
  if (pieces.length > 3 * prompt.length + 1) throw new Error("more pieces than characters");
  if (pieces.some(({ start, end }) => start > end || end > prompt.length))
    throw new Error("a piece is outside");
}

/** The random numbers that are drawn are the choices, at most two for each alternative and wildcard. */
function checkDynamic(prompt: string): void {
  let drawn = 0;
  const counted = () => {
    drawn += 1;
    return random();
  };
  expandPrompt(prompt, { wildcards, random: counted });
  if (drawn > 20 * prompt.length) throw new Error(`${drawn} random numbers are drawn`);
}

it(`${mutations} mutated prompts are read or refused by name, and grow by nothing`, () => {
  const seen = { read: 0, refused: 0, expanded: 0, notExpanded: 0 };
  for (let i = 0; i < mutations; i++) {
    const prompt = mutated(whole[i % whole.length]!);
    seen[answered(prompt, () => checkGrammar(prompt)) ? "read" : "refused"] += 1;
    seen[answered(prompt, () => checkDynamic(prompt)) ? "expanded" : "notExpanded"] += 1;
    answered(prompt, () => alternativesOf(prompt, { wildcards }));
    wordsOf(prompt, "a1111", 1);
    syntaxWarnings("prompt", prompt, { promptSyntax: "none" });
  }
  // It would prove nothing if all stopped at the same door.
  for (const count of Object.values(seen)) expect(count).toBeGreaterThan(mutations / 50);
});
