/**
 * @file Ctrl+Up and Ctrl+Down in a prompt: they change the weight of the selection, as in AUTOMATIC1111
 * (javascript/edit-attention.js).
 */

/** A prompt and the selection in it. */
export type Edited = { text: string; start: number; end: number };

const step = 0.1;
/** Of the strength in a tag such as <lora:name:0.8>. */
const tagStep = 0.05;

const delimiters = ".,\\/!?%^*;:{}=`~()[]<>| \t\r\n";

/**
 * The prompt with another weight of the selection; with none, of the brackets around the caret, or of the word there.
 * `direction` is 1 or -1. Undefined where there is nothing to weigh.
 */
export function changedWeight(now: Edited, direction: 1 | -1): Edited | undefined {
  const tag = now.start === now.end ? tagAround(now) : undefined;
  if (tag) return withTagStrength(now.text, tag, direction);
  const chosen = now.start === now.end ? (bracketsAround(now) ?? wordAround(now)) : trimmed(now);
  if (chosen.start === chosen.end) return undefined;
  const weighted = withNumber(chosen);
  const before = weighted.number;
  return before === undefined ? undefined : withWeight(weighted, rounded(before + direction * step));
}

type Weighted = Edited & { number: number | undefined };

/** The selection inside "(…:number)": as it stands there, or with brackets added or converted. */
function withNumber({ text, start, end }: Edited): Weighted {
  const [left, right] = [text[start - 1], text[end]];
  if (left === "(" && right === ":") {
    const close = text.indexOf(")", end);
    const number = close === -1 ? Number.NaN : Number(text.slice(end + 1, close));
    return { text, start, end, number: Number.isFinite(number) ? number : undefined };
  }
  if ((left === "(" && right === ")") || (left === "[" && right === "]")) {
    // ((x)) and [x]: as many brackets as there are become one with their product.
    let pairs = 1;
    while (text[start - pairs - 1] === left && text[end + pairs] === right) pairs++;
    const number = rounded(Math.round((left === "(" ? 1.1 : 1 / 1.1) ** pairs / step) * step);
    const [before, after] = [text.slice(0, start - pairs), text.slice(end + pairs)];
    const shift = 1 - pairs;
    return {
      text: `${before}(${text.slice(start, end)}:${written(number)})${after}`,
      start: start + shift,
      end: end + shift,
      number,
    };
  }
  const inside = text.slice(start, end);
  const added = `${text.slice(0, start)}(${inside}:1.0)${text.slice(end)}`;
  return { text: added, start: start + 1, end: end + 1, number: 1 };
}

/** At a weight of 1, without brackets. */
function withWeight({ text, start, end }: Edited, weight: number): Edited {
  const close = text.indexOf(")", end);
  const [before, inside, after] = [text.slice(0, start - 1), text.slice(start, end), text.slice(close + 1)];
  if (weight === 1) return { text: before + inside + after, start: start - 1, end: end - 1 };
  return { text: `${before}(${inside}:${written(weight)})${after}`, start, end };
}

function withTagStrength(text: string, tag: { start: number; end: number }, direction: 1 | -1): Edited {
  const inside = text.slice(tag.start, tag.end);
  const found = /^([^:]*:[^:]*):\s*([+-]?[\d.]+)(.*)$/s.exec(inside);
  const [, name = inside, number = "1", rest = ""] = found ?? [];
  const strength = rounded(Number(number) + direction * tagStep);
  const start = tag.start + name.length + 1;
  const changed = written(strength);
  return {
    text: `${text.slice(0, tag.start)}${name}:${changed}${rest}${text.slice(tag.end)}`,
    start,
    end: start + changed.length,
  };
}

/** What is inside the <…> around the caret. */
function tagAround({ text, start }: Edited): { start: number; end: number } | undefined {
  const inside = between(text, start, "<", ">");
  return inside && /^(?:lora|lyco|hypernet):/i.test(text.slice(inside.start, inside.end))
    ? inside
    : undefined;
}

/** What is inside the brackets around the caret, without its weight; not that of a schedule, [a:b:0.5] or [a|b]. */
function bracketsAround({ text, start }: Edited): Edited | undefined {
  const round = between(text, start, "(", ")");
  if (round) {
    const weight = /:\s*[+-]?[\d.]+\s*$/.exec(text.slice(round.start, round.end));
    return { text, start: round.start, end: weight ? round.start + weight.index : round.end };
  }
  const square = between(text, start, "[", "]");
  return square && !/[:|]/.test(text.slice(square.start, square.end)) ? { text, ...square } : undefined;
}

/** Between the nearest brackets of this kind, if no other of it is between them. */
function between(text: string, at: number, open: string, close: string) {
  const left = at === 0 ? -1 : text.lastIndexOf(open, at - 1);
  const right = text.indexOf(close, at);
  if (left === -1 || right === -1) return undefined;
  const inside = text.slice(left + 1, right);
  return inside.includes(open) || inside.includes(close) ? undefined : { start: left + 1, end: right };
}

function wordAround({ text, start }: Edited): Edited {
  let [from, to] = [start, start];
  while (from > 0 && !delimiters.includes(text[from - 1]!)) from--;
  while (to < text.length && !delimiters.includes(text[to]!)) to++;
  return { text, start: from, end: to };
}

/** Without the spaces around it. */
function trimmed({ text, start, end }: Edited): Edited {
  const inside = text.slice(start, end);
  const from = start + inside.length - inside.trimStart().length;
  return {
    text,
    start: Math.min(from, end),
    end: Math.max(Math.min(from, end), start + inside.trimEnd().length),
  };
}

const rounded = (weight: number): number => Number(weight.toPrecision(12));
/** Whole numbers as "2.0". */
const written = (weight: number): string => (Number.isInteger(weight) ? weight.toFixed(1) : String(weight));
