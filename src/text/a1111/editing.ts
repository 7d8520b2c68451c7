/**
 * @file AUTOMATIC1111's prompt editing: "[a:b:0.5]" and "[a|b]", which give each step its own text. The grammar is that of
 * prompt_parser.py (`schedule_parser`), read with a stack in linear time; nothing here recurses.
 */

/** The text of the steps up to and including `until`, counted from 1. */
export type ScheduledText = { until: number; text: string };

/** What a text is made of: plain text, and nodes that choose among theirs; `group` is brackets that stay text. */
type Node =
  | { kind: "edit"; before: Part[]; after: Part[]; when: number }
  | { kind: "alternate"; choices: Part[][] }
  | { kind: "group"; parts: Part[] };
type Part = string | Node;

/** An open bracket with what has been read behind it, cut at each separator. */
type Frame = { bracket: "(" | "["; segments: Part[][]; separators: string[] };

/** Lark's SIGNED_NUMBER, with spaces around it. */
const number = /^\s*([+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?)\s*$/;

/**
 * The texts of a prompt in a run of `steps` steps. A number with a decimal point is a share of the steps, one without a
 * step (A1111 1.6 and later). A "|" outside of brackets, or a backslash at the end, switches all editing off, as in A1111.
 */
export function promptSchedule(prompt: string, steps: number): ScheduledText[] {
  const whole = [{ until: steps, text: prompt }];
  if (!/[:|]/.test(prompt)) return whole;
  const parsed = parse(prompt, steps);
  if (!parsed) return whole;
  return boundaries(parsed, steps).map((until) => ({ until, text: textAt(parsed, until) }));
}

/**
 * The index of the entry that a call of the network sees: the first whose `until` the call does not pass, where calls are
 * counted from 0. So "[a:b:0.5]" in ten steps is "a" for six calls (sd_samplers_cfg_denoiser.py).
 */
export function entryAt(schedule: readonly { until: number }[], call: number): number {
  const found = schedule.findIndex(({ until }) => call <= until);
  return found < 0 ? 0 : found;
}

/** Undefined for what the grammar does not have: all is plain text then. */
function parse(prompt: string, steps: number): Part[] | undefined {
  const top: Part[] = [];
  let open: Frame[] = [];
  const current = () => open.at(-1)?.segments.at(-1) ?? top;
  /** Brackets that do not fit together are text, and so is all that is open around them. */
  const flush = (): boolean => {
    for (const frame of open) {
      top.push(frame.bracket);
      for (const [i, segment] of frame.segments.entries()) {
        if (i > 0) top.push(frame.separators[i - 1]!);
        for (const part of segment) top.push(part);
      }
    }
    const hasBar = open.some(({ separators }) => separators.includes("|"));
    open = [];
    return !hasBar;
  };
  for (const token of tokensOf(prompt)) {
    const frame = open.at(-1);
    if (token === "\\") return undefined;
    if (token === "(" || token === "[") open.push({ bracket: token, segments: [[]], separators: [] });
    else if ((token === ":" || token === "|") && frame) {
      frame.separators.push(token);
      frame.segments.push([]);
    } else if (token === "|") return undefined;
    else if (token !== ")" && token !== "]") current().push(token);
    else {
      const closed = frame && closes(frame, token) ? nodeOf(frame, token, steps) : undefined;
      if (closed) {
        open.pop();
        current().push(closed);
      } else {
        if (!flush()) return undefined;
        top.push(token);
      }
    }
  }
  return flush() ? top : undefined;
}

/** Brackets and separators, and the texts between, in which an escaped character keeps its backslash. */
function* tokensOf(prompt: string): Generator<string> {
  let start = 0;
  while (start < prompt.length) {
    let end = start;
    while (end < prompt.length && !special.has(prompt[end]!)) {
      if (prompt[end] !== "\\") end++;
      else if (end + 1 < prompt.length && prompt[end + 1] !== "\n") end += 2;
      else break;
    }
    if (end === start) end++;
    yield prompt.slice(start, end);
    start = end;
  }
}

const special: ReadonlySet<string> = new Set("()[]:|");

const closes = ({ bracket }: Frame, token: string): boolean => (bracket === "(") === (token === ")");

/** What a closed pair of brackets stands for; undefined if the grammar does not have it. */
function nodeOf({ bracket, segments, separators }: Frame, token: string, steps: number): Node | undefined {
  const [first, second] = segments;
  if (separators.length === 0) return { kind: "group", parts: [bracket, ...first!, token] };
  const colons = separators.every((separator) => separator === ":");
  if (token === ")") {
    if (!colons || separators.length > 1) return undefined;
    return { kind: "group", parts: [bracket, ...first!, ":", ...second!, token] };
  }
  if (separators.every((separator) => separator === "|")) return { kind: "alternate", choices: segments };
  if (!colons || separators.length > 2) return undefined;
  const when = stepOf(segments.at(-1)!, steps);
  if (when === undefined) return undefined;
  return { kind: "edit", when, before: separators.length === 2 ? first! : [], after: segments.at(-2)! };
}

/** The last step of the text before an edit; int() of Python rounds towards zero. */
function stepOf(segment: readonly Part[], steps: number): number | undefined {
  const [text, ...others] = segment;
  if (typeof text !== "string" || others.length > 0) return undefined;
  const [, digits] = number.exec(text) ?? [];
  if (digits === undefined) return undefined;
  const value = Number(digits) * (digits.includes(".") ? steps : 1);
  return Math.min(steps, Math.trunc(value));
}

/** The steps at which the text may change, ascending, and the last one. */
function boundaries(parts: readonly Part[], steps: number): number[] {
  const found = new Set([steps]);
  for (const node of nodesOf(parts)) {
    if (node.kind === "edit" && node.when >= 1) found.add(node.when);
    if (node.kind === "alternate") for (let step = 1; step <= steps; step++) found.add(step);
    if (found.size === steps) break;
  }
  return [...found].sort((a, b) => a - b);
}

function* nodesOf(parts: readonly Part[]): Generator<Node> {
  const waiting = [parts];
  for (let list = waiting.pop(); list; list = waiting.pop()) {
    for (const part of list) {
      if (typeof part === "string") continue;
      yield part;
      for (const inner of insideOf(part)) waiting.push(inner);
    }
  }
}

function insideOf(node: Node): readonly Part[][] {
  switch (node.kind) {
    case "edit":
      return [node.before, node.after];
    case "alternate":
      return node.choices;
    case "group":
      return [node.parts];
    default:
      return node satisfies never;
  }
}

/** The text of a step, counted from 1. */
function textAt(parts: readonly Part[], step: number): string {
  const texts: string[] = [];
  const open = [{ parts, next: 0 }];
  for (let top = open.at(-1); top; top = open.at(-1)) {
    const part = top.parts[top.next++];
    if (part === undefined) open.pop();
    else if (typeof part === "string") texts.push(part);
    else open.push({ parts: chosen(part, step), next: 0 });
  }
  return texts.join("");
}

function chosen(node: Node, step: number): readonly Part[] {
  if (node.kind === "group") return node.parts;
  if (node.kind === "edit") return step <= node.when ? node.before : node.after;
  return node.choices[(step - 1) % node.choices.length]!;
}
