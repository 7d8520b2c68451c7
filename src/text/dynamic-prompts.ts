/**
 * @file Dynamic prompts: alternatives, "{a|b}", of which one is chosen at random, and wildcards, "__color__", which stand
 * for a line of a file. The grammar is that of the extension sd-dynamic-prompts, without variables and its other samplers.
 */

import { closest } from "../closest.js";
import { InvalidRequest, listed } from "../errors.js";

/** The lines of each wildcard file by its name, folders before it: "clothes/hat". */
export type Wildcards = Readonly<Record<string, readonly string[]>>;

export type DynamicPromptOptions = {
  wildcards?: Wildcards;
  /** A random number from 0 to below 1. */
  random: () => number;
  /** The prompt's name in errors. */
  field?: string;
};

type Part = string | Choice | { wildcard: string };
/** `least` to `most` of the options, by weight, joined by `between`. */
type Choice = { options: Alternative[]; least: number; most: number; between: string };
/** `start` and `end` are its places in the text. */
type Alternative = { weight: number; parts: Part[]; start: number; end: number };

const mostDepth = 50;
const mostLength = 20_000;
/** Wildcards and alternatives that one prompt takes, and alternatives in a pair of braces. */
const mostChoices = 2_000;

/** The prompt with one text in place of each alternative and wildcard. "\{", "\|" and "\}" are the characters. */
export function expandPrompt(
  prompt: string,
  { wildcards = {}, random, field = "prompt" }: DynamicPromptOptions,
): string {
  const problem = (rule: string) => new InvalidRequest(field, prompt, rule);
  const parsed = new Map<string, Part[]>();
  const parts = (text: string) => {
    const found = parsed.get(text) ?? parse(text, problem);
    parsed.set(text, found);
    return found;
  };
  const known = new Map<string, readonly string[]>();
  const lines = (name: string) => {
    const found = known.get(name) ?? linesOf(name, wildcards, problem);
    known.set(name, found);
    return found;
  };
  let choices = 0;
  const count = (taken: number) => {
    choices += taken;
    if (choices > mostChoices) throw problem(`must take at most ${mostChoices} choices. Shorten it.`);
  };
  const expanded = (list: readonly Part[], depth: number): string => {
    if (depth > mostDepth)
      throw problem(`must nest at most ${mostDepth} deep, wildcards included. Take some away.`);
    let text = "";
    for (const part of list) {
      if (typeof part === "string") text += part;
      else if ("wildcard" in part) {
        count(1);
        const all = lines(part.wildcard);
        text += expanded(parts(all[Math.floor(random() * all.length)]!), depth + 1);
      } else {
        const chosen = choose(part, random);
        count(Math.max(1, chosen.length));
        text += chosen.map((index) => expanded(part.options[index]!.parts, depth + 1)).join(part.between);
      }
      if (text.length > mostLength)
        throw problem(`must expand to at most ${mostLength} characters. Shorten it.`);
    }
    return text;
  };
  return expanded(parts(prompt), 0);
}

/**
 * What a grid varies: the alternatives of "{a|b}" without their weights, or the lines of "__color__", where one of these is
 * all of the text; undefined for any other text.
 */
export function alternativesOf(
  text: string,
  { wildcards, field = "prompt" }: Omit<DynamicPromptOptions, "random">,
): readonly string[] | undefined {
  const problem = (rule: string) => new InvalidRequest(field, text, rule);
  const braces = text.startsWith("{") && text.endsWith("}");
  if (!braces && !(wildcards && text.startsWith("__") && text.endsWith("__"))) return undefined;
  const [only, ...others] = parse(text, problem);
  if (others.length > 0 || only === undefined || typeof only === "string") return undefined;
  if ("wildcard" in only) return linesOf(only.wildcard, wildcards!, problem);
  if (only.least !== 1 || only.most !== 1)
    throw problem(
      `must have alternatives of which one is taken, got ${text.slice(0, 80)}. Leave the count out.`,
    );
  return only.options.map(({ start, end }) => text.slice(start, end));
}

type Problem = (rule: string) => InvalidRequest;

/** The indices of the options that are chosen, in the order of choosing; none twice. */
function choose({ options, least, most }: Choice, random: () => number): number[] {
  const count = least === most ? least : least + Math.floor(random() * (most - least + 1));
  const left = options.map(({ weight }, index) => ({ weight, index }));
  const chosen: number[] = [];
  let total = left.reduce((sum, { weight }) => sum + weight, 0);
  while (chosen.length < count && left.length > 0) {
    let at = random() * total;
    const found = left.findIndex(({ weight }) => (at -= weight) < 0);
    const [one] = left.splice(found < 0 ? left.length - 1 : found, 1);
    chosen.push(one!.index);
    total -= one!.weight;
  }
  return chosen;
}

/** The lines of a wildcard; a "*" in its name stands for any letters, and the lines of all that fit count. */
function linesOf(name: string, wildcards: Wildcards, problem: Problem): readonly string[] {
  const known = Object.keys(wildcards);
  const pieces = name.split("*");
  const fitting = known.filter((one) => fits(pieces, one));
  const lines = fitting.flatMap((one) => wildcards[one]!);
  if (lines.length > 0) return lines;
  if (fitting.length > 0)
    throw problem(`must name wildcards with lines, got "__${name}__" with none. Write one into its file.`);
  const near = closest(name, known);
  const hint =
    near === undefined
      ? `There are ${listed(known, 10) || "none: give a folder of wildcards"}.`
      : `Did you mean "${near}"?`;
  throw problem(`must name wildcards that there are, got "__${name}__". ${hint}`);
}

/** Whether the pieces of a name stand in it in their order, the first at its beginning and the last at its end. */
function fits(pieces: readonly string[], name: string): boolean {
  const [first = "", ...others] = pieces;
  const last = others.pop();
  if (last === undefined) return first === name;
  let index = first.length;
  if (!name.startsWith(first)) return false;
  for (const piece of others) {
    const found = name.indexOf(piece, index);
    if (found < 0) return false;
    index = found + piece.length;
  }
  return name.endsWith(last) && name.length - last.length >= index;
}

const wildcardAt = /__([\p{L}\p{N}_*/.-]{1,200}?)__/uy;
const weightAt = /\s*(\d+(?:\.\d*)?|\.\d+)\s*::/y;
/** "2$$", "1-3$$", "2$$ and $$" */
const countAt = /\s*(\d{1,4})?(-)?(\d{1,4})?\s*\$\$(?:([^{}|$]{0,100})\$\$)?/y;

function at(pattern: RegExp, text: string, index: number): RegExpExecArray | undefined {
  pattern.lastIndex = index;
  return pattern.exec(text) ?? undefined;
}

/** One pass with a stack of open braces; braces that do not fit together are refused. */
function parse(text: string, problem: Problem): Part[] {
  const top: Part[] = [];
  const open: Choice[] = [];
  const current = () => open.at(-1)?.options.at(-1)?.parts ?? top;
  const put = (part: string) => {
    const into = current();
    if (typeof into.at(-1) === "string") into[into.length - 1] += part;
    else into.push(part);
  };
  let index = 0;
  const beginOption = () => {
    const weight = at(weightAt, text, index);
    if (weight) index += weight[0].length;
    const place = { start: index, end: index };
    open.at(-1)!.options.push({ weight: weight ? Number(weight[1]) : 1, parts: [], ...place });
  };
  const endOption = (choice: Choice) => void (choice.options.at(-1)!.end = index);
  while (index < text.length) {
    const letter = text[index]!;
    const wildcard = letter === "_" ? at(wildcardAt, text, index) : undefined;
    if (letter === "\\" && "{}|".includes(text[index + 1] ?? " ")) {
      put(text[index + 1]!);
      index += 2;
    } else if (letter === "$" && text.startsWith("${", index)) {
      throw problem('must have no variables, got "${". They are not supported; write the words.');
    } else if (wildcard) {
      current().push({ wildcard: wildcard[1]! });
      index += wildcard[0].length;
    } else if (letter === "{") {
      if (open.length >= mostDepth)
        throw problem(`must nest braces at most ${mostDepth} deep. Take some away.`);
      index++;
      const count = at(countAt, text, index);
      if (count) index += count[0].length;
      const choice: Choice = { options: [], ...countsOf(count), between: count?.[4] ?? ", " };
      current().push(choice);
      open.push(choice);
      beginOption();
    } else if (letter === "|" && open.length > 0) {
      endOption(open.at(-1)!);
      index++;
      beginOption();
    } else if (letter === "}") {
      const closed = open.pop();
      if (!closed)
        throw problem('must close only braces that are open, got "}". Write \\} for the character.');
      endOption(closed);
      finishChoice(closed, problem);
      index++;
    } else {
      let end = index + 1;
      while (end < text.length && !special.has(text[end]!)) end++;
      put(text.slice(index, end));
      index = end;
    }
  }
  if (open.length > 0)
    throw problem('must close every brace, got "{" without "}". Write \\{ for the character.');
  return top;
}

const special: ReadonlySet<string> = new Set("\\$_{|}");

/** One without a number; "2-$$" has no upper bound. */
function countsOf(count: RegExpExecArray | undefined): { least: number; most: number } {
  if (!count) return { least: 1, most: 1 };
  const [, first, dash, last] = count;
  const least = first === undefined ? (dash ? 0 : 1) : Number(first);
  const most = last === undefined ? (dash ? Number.MAX_SAFE_INTEGER : least) : Number(last);
  return { least: Math.min(least, most), most: Math.max(least, most) };
}

function finishChoice(choice: Choice, problem: Problem): void {
  const count = choice.options.length;
  if (count > mostChoices) {
    const rule = `must have at most ${mostChoices} alternatives in a pair of braces, got ${count}`;
    throw problem(`${rule}. Put them into a wildcard's file.`);
  }
  choice.most = Math.min(choice.most, choice.options.length);
  choice.least = Math.min(choice.least, choice.most);
  if (choice.options.some(({ weight }) => weight > 0)) return;
  throw problem("must have a weight above 0 in each pair of braces. Raise one of them.");
}
