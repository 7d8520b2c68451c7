/**
 * @file The grammar of the `parameters` text that A1111, its forks, stable-diffusion.cpp and image sites share:
 * the prompt's lines, `Negative prompt: ...`, and a last line `Steps: 20, Sampler: Euler a, ...`. Pure.
 */

export type Parameters = {
  prompt: string;
  negativePrompt: string | undefined;
  /** The last line's values by name, in their order. */
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
 * Reads such a text. A last line with fewer than three values belongs to the prompt, as in A1111. White space around
 * the prompts is lost, and a prompt's own line "Negative prompt:" ends it: the grammar cannot tell.
 */
export function parseParameters(text: string): Parameters {
  const lines = text.trim().split(/\r?\n/);
  let fields = fieldsOf(lines.at(-1) ?? "");
  if (fields.size < 3) fields = new Map();
  else lines.pop();
  const split = lines.findIndex((line) => line.startsWith(negativeMark));
  const prompt = (split < 0 ? lines : lines.slice(0, split)).join("\n").trim();
  if (split < 0) return { prompt, negativePrompt: undefined, fields };
  const negativePrompt = lines.slice(split).join("\n").slice(negativeMark.length).trim();
  return { prompt, negativePrompt, fields };
}

const quoted = (value: string): string => (/[,:\n"]/.test(value) ? JSON.stringify(value) : value);

/** `name: value, name: "quoted, value"`; the first value of a name counts. One pass, so that no line takes long. */
function fieldsOf(line: string): Map<string, string> {
  const fields = new Map<string, string>();
  for (let at = 0; at < line.length; ) {
    const colon = line.indexOf(":", at);
    if (colon < 0) break;
    const start = colon + 1 + (line.slice(colon + 1, colon + 17).match(/^ */)?.[0].length ?? 0);
    const closing = line[start] === '"' ? closingQuote(line, start) : -1;
    const comma = line.indexOf(",", closing < 0 ? start : closing);
    const end = comma < 0 ? line.length : comma;
    const name = line.slice(at, colon).trim();
    const raw = line.slice(start, end).trim();
    if (/^\w[\w /-]*$/.test(name) && !fields.has(name)) fields.set(name, closing < 0 ? raw : unquoted(raw));
    at = end + 1;
  }
  return fields;
}

function closingQuote(line: string, start: number): number {
  for (let at = start + 1; at < line.length; at++) {
    if (line[at] === "\\") at++;
    else if (line[at] === '"') return at;
  }
  return -1;
}

function unquoted(value: string): string {
  try {
    const parsed: unknown = JSON.parse(value);
    return typeof parsed === "string" ? parsed : value;
  } catch {
    return value;
  }
}
