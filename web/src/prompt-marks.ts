/**
 * @file Divides a prompt into what the prompt field colours: brackets by depth, weights, tags, keywords. Pairs are found as
 * AUTOMATIC1111 does: each kind of bracket for itself, and none after a backslash.
 */

export type Mark = {
  kind: "text" | "bracket" | "unmatched" | "weight" | "tag" | "keyword";
  text: string;
  /** Of a bracket: how many are open around it. */
  depth: number;
};

type Open = { at: number; mark: Mark };

const closers: Readonly<Record<string, "(" | "[" | "{">> = { ")": "(", "]": "[", "}": "{" };
const escaped = /\\[()[\]{}\\]/y;
const tag = /<(?:lora|lyco|hypernet)\s*:[^<>]*>?/iy;
const weight = /:\s*[+-]?(?:\d+\.?\d*|\.\d+)\s*(?=\))/y;
const keyword = /(?<![\p{L}\p{N}_])(?:BREAK|AND|__[\w*/-]{1,100}?__)(?![\p{L}\p{N}_])/uy;

/** The marks in the prompt's order; joined, their texts are the prompt. */
export function marksOf(prompt: string): Mark[] {
  const marks: Mark[] = [];
  const open: Record<"(" | "[" | "{", Open[]> = { "(": [], "[": [], "{": [] };
  const depth = () => open["("].length + open["["].length + open["{"].length;
  const put = (kind: Mark["kind"], text: string, at = depth()): Mark => {
    const last = marks.at(-1);
    if (kind === "text" && last?.kind === "text") {
      last.text += text;
      return last;
    }
    const mark = { kind, text, depth: at };
    marks.push(mark);
    return mark;
  };
  for (let at = 0; at < prompt.length; ) {
    const character = prompt[at]!;
    const [kind, text] = wordAt(prompt, at, open["("].length > 0);
    if (kind !== undefined) put(kind, text);
    else if (character === "(" || character === "[" || character === "{")
      open[character].push({ at, mark: put("bracket", character) });
    else if (closers[character] !== undefined) {
      const opened = open[closers[character]].pop();
      put(opened ? "bracket" : "unmatched", character, opened ? opened.mark.depth : depth());
    } else if ((character === "|" && depth() > 0) || (character === ":" && open["["].length > 0))
      put("weight", character);
    else put("text", character);
    at += text.length;
  }
  for (const { mark } of Object.values(open).flat()) mark.kind = "unmatched";
  return marks;
}

/** What begins here and is more than one character; its kind is undefined otherwise. */
function wordAt(
  prompt: string,
  at: number,
  inRound: boolean,
): [kind: Mark["kind"] | undefined, text: string] {
  const found = (pattern: RegExp): string | undefined => {
    pattern.lastIndex = at;
    return pattern.exec(prompt)?.[0];
  };
  const character = prompt[at]!;
  switch (character) {
    case "\\":
      return ["text", found(escaped) ?? character];
    case "<": {
      const text = found(tag);
      if (text === undefined) return [undefined, character];
      return text.endsWith(">") ? ["tag", text] : ["unmatched", character];
    }
    case ":": {
      const text = inRound ? found(weight) : undefined;
      return text === undefined ? [undefined, character] : ["weight", text];
    }
    case "B":
    case "A":
    case "_": {
      const text = found(keyword);
      return text === undefined ? [undefined, character] : ["keyword", text];
    }
    default:
      return [undefined, character];
  }
}

/** A sentence on the brackets without a partner; undefined if there are none. */
export function unmatchedNote(marks: readonly Mark[]): string | undefined {
  const all = marks.filter(({ kind }) => kind === "unmatched").map(({ text }) => text);
  if (all.length === 0) return undefined;
  const shown = [...new Set(all)].map((bracket) => `"${bracket}"`).join(", ");
  return all.length === 1
    ? `One bracket has no partner: ${shown}. Write \\${all[0]} for the character itself`
    : `${all.length} brackets have no partner: ${shown}`;
}
