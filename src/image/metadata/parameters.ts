/**
 * @file The grammar of the `parameters` text that A1111, its forks, stable-diffusion.cpp and image sites share:
 * the prompt's lines, `Negative prompt: ...`, and a line `Steps: 20, Sampler: Euler a, ...`. Pure.
 */

export type Parameters = {
  prompt: string;
  negativePrompt: string | undefined;
  /** The values of the line of settings by name, in their order, and those of lines that extensions put after it. */
  fields: ReadonlyMap<string, string>;
};

const negativeMark = "Negative prompt:";

/** The text; a value with a comma, colon or line break is quoted as JSON. */
export function formatParameters({ prompt, negativePrompt, fields }: Parameters): string {
  const values = [...fields].map(([name, value]) => `${name}: ${quoted(value)}`).join(", ");
  const negative = negativePrompt ? [`${negativeMark} ${negativePrompt}`] : [];
  return [prompt, ...negative, values].join("\n").replaceAll("\0", "");
}

/**
 * Reads such a text. The settings are the last line that begins with "Steps:", or else the last line; fewer than three
 * values belong to the prompt, as in A1111. White space around the prompts is lost, and a prompt's own line
 * "Negative prompt:" ends it: the grammar cannot tell.
 */
export function parseParameters(text: string): Parameters {
  const lines = text.trim().split(/\r?\n/);
  const { start, fields } = settingsIn(lines);
  const texts = lines.slice(0, start);
  const split = texts.findIndex((line) => line.startsWith(negativeMark));
  const prompt = (split < 0 ? texts : texts.slice(0, split)).join("\n").trim();
  if (split < 0) return { prompt, negativePrompt: undefined, fields };
  const negativePrompt = texts.slice(split).join("\n").slice(negativeMark.length).trim();
  return { prompt, negativePrompt, fields };
}

const quoted = (value: string): string => (/[,:\n"]/.test(value) ? JSON.stringify(value) : value);

/** Extensions put lines behind the settings, and line breaks into quoted values, so they need not be the last line. */
function settingsIn(lines: readonly string[]): { start: number; fields: Map<string, string> } {
  const steps = lines.findLastIndex((line) => line.startsWith("Steps:"));
  for (const start of steps < 0 ? [lines.length - 1] : [steps, lines.length - 1]) {
    const text = lines.slice(start).join("\n");
    const { fields, end } = fieldsOf(text);
    if (fields.size < 3) continue;
    for (const [name, value] of linesAfter(text.slice(end))) if (!fields.has(name)) fields.set(name, value);
    return { start, fields };
  }
  return { start: lines.length, fields: new Map() };
}

/**
 * `name: value, name: "quoted, value"` up to the first line break outside quotes; the first value of a name counts.
 * One pass, so that no text takes long.
 */
function fieldsOf(text: string): { fields: Map<string, string>; end: number } {
  const fields = new Map<string, string>();
  let line = lineEnd(text, 0);
  let at = 0;
  while (at < line) {
    const colon = text.indexOf(":", at);
    if (colon < 0 || colon > line) break;
    const start = colon + 1 + (text.slice(colon + 1, colon + 17).match(/^ */)?.[0].length ?? 0);
    const closing = text[start] === '"' ? closingQuote(text, start) : -1;
    if (closing > line) line = lineEnd(text, closing);
    const comma = text.indexOf(",", closing < 0 ? start : closing);
    const end = comma < 0 || comma > line ? line : comma;
    // A value's own commas end before the name.
    const name = text.slice(Math.max(at, text.lastIndexOf(",", colon) + 1), colon).trim();
    const raw = text.slice(start, end).trim();
    if (/^\w[\w /-]*$/.test(name) && !fields.has(name)) fields.set(name, closing < 0 ? raw : unquoted(raw));
    at = end + 1;
  }
  return { fields, end: line };
}

function lineEnd(text: string, from: number): number {
  const end = text.indexOf("\n", from);
  return end < 0 ? text.length : end;
}

/** Lines as Dynamic Prompts adds them, "Template: ..." and "Negative Template: ...", each up to the next such line. */
function linesAfter(text: string): Map<string, string> {
  const fields = new Map<string, string>();
  let name: string | undefined;
  for (const line of text.split("\n").slice(1)) {
    const begun = /^([A-Z][\w -]{0,40}):(.*)$/.exec(line);
    if (begun) fields.set((name = begun[1]!), begun[2]!.trim());
    else if (name !== undefined) fields.set(name, `${fields.get(name)}\n${line}`);
  }
  return fields;
}

/** Where a quoted text that begins at `start` ends; -1 if it does not. */
export function closingQuote(text: string, start: number): number {
  for (let at = start + 1; at < text.length; at++) {
    if (text[at] === "\\") at++;
    else if (text[at] === '"') return at;
  }
  return -1;
}

/** A line break inside is no JSON, but some write it. */
function unquoted(value: string): string {
  try {
    const parsed: unknown = JSON.parse(value.replaceAll("\n", "\\n"));
    return typeof parsed === "string" ? parsed : value;
  } catch {
    return value;
  }
}
