/**
 * @file A prompt's text area, with its brackets coloured: the same text lies coloured behind a text area whose own is
 * transparent. Both stand in one cell of a grid, so they are equally large and scroll together.
 */

import type { Signal } from "@preact/signals";
import type { TargetedKeyboardEvent } from "preact";
import { type Mark, marksOf } from "./prompt-marks.js";
import { reading } from "./prompt-reading.js";
import { changedWeight, type Edited } from "./weight-keys.js";

type Props = {
  id: string;
  rows: number;
  placeholder: string;
  value: Signal<string>;
  invalid: boolean;
  describedBy: string;
};

export function PromptText({ id, rows, placeholder, value, invalid, describedBy }: Props) {
  return (
    <div class="prompt-text">
      <pre aria-hidden="true">
        <Coloured text={value.value} />
        {/* A line break at the end has a line of its own in a text area only. */}
        {"\u200b"}
      </pre>
      <textarea
        id={id}
        rows={rows}
        placeholder={placeholder}
        value={value.value}
        aria-invalid={invalid ? "true" : undefined}
        aria-describedby={describedBy}
        aria-keyshortcuts="Control+ArrowUp Control+ArrowDown"
        onInput={({ currentTarget }) => (value.value = currentTarget.value)}
        onKeyDown={onKey}
      />
    </div>
  );
}

/** More elements would slow down typing. */
const mostMarks = 2000;
const colours = 3;

function Coloured({ text }: { text: string }) {
  const marks = reading.value === "none" ? [] : marksOf(text);
  if (marks.length === 0 || marks.length > mostMarks) return <>{text}</>;
  return (
    <>
      {marks.map((mark, index) =>
        mark.kind === "text" ? (
          mark.text
        ) : (
          <span key={index} class={classOf(mark)}>
            {mark.text}
          </span>
        ),
      )}
    </>
  );
}

const classOf = ({ kind, depth }: Mark): string =>
  kind === "bracket" ? `mark bracket-${depth % colours}` : `mark ${kind}`;

function onKey(event: TargetedKeyboardEvent<HTMLTextAreaElement>): void {
  const direction = event.key === "ArrowUp" ? 1 : event.key === "ArrowDown" ? -1 : 0;
  if (direction === 0 || !(event.ctrlKey || event.metaKey) || event.altKey) return;
  event.preventDefault();
  changeWeightIn(event.currentTarget, direction);
}

/** Changes the weight of a field's selection by a step; not in plain text, which has no weights. */
export function changeWeightIn(field: HTMLTextAreaElement, direction: 1 | -1): void {
  if (reading.value === "none") return;
  const { value: text, selectionStart: start, selectionEnd: end } = field;
  const changed = changedWeight({ text, start, end }, direction);
  if (!changed) return;
  field.focus();
  replaceText(field, changed);
}

/** Replaces a field's text as if it had been typed, so that the browser's Undo takes it back. */
function replaceText(field: HTMLTextAreaElement, { text, start, end }: Edited): void {
  const before = field.value;
  let from = 0;
  while (from < before.length && before[from] === text[from]) from++;
  let same = 0;
  const most = Math.min(before.length, text.length) - from;
  while (same < most && before.at(-1 - same) === text.at(-1 - same)) same++;
  const typed = text.slice(from, text.length - same);
  field.setSelectionRange(from, before.length - same);
  const command = typed === "" ? "delete" : "insertText";
  if (before !== text && !document.execCommand(command, false, typed)) {
    field.value = text;
    field.dispatchEvent(new Event("input", { bubbles: true }));
  }
  field.setSelectionRange(start, end);
}
