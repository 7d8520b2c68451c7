/** @file The vocabulary of a small model as buttons that add a word to the prompt. */

import type { Words } from "../../src/pipeline/vocabulary.js";
import { chosenWords, type WordKind, withWord } from "./prompt-words.js";
import { model, prompt, vocabularyOpen } from "./settings.js";

const kinds: readonly (readonly [kind: WordKind, title: string, names: (words: Words) => string[]])[] = [
  ["noun", "Nouns", ({ nouns }) => nouns.map(({ name }) => name)],
  ["style", "Drawing styles", ({ styles }) => styles.map(({ name }) => name)],
  ["background", "Backgrounds", ({ backgrounds }) => backgrounds],
];

export function VocabularyView() {
  const words = model.value?.words;
  if (!words) return null;
  const chosen = chosenWords(prompt.value, words);
  return (
    <details
      class="vocabulary"
      open={vocabularyOpen.value}
      onToggle={({ currentTarget }) => (vocabularyOpen.value = currentTarget.open)}
    >
      <summary>Known words</summary>
      {kinds.map(([kind, title, names]) => (
        <WordGroup
          key={kind}
          kind={kind}
          title={title}
          names={names(words)}
          chosen={chosen[kind]}
          words={words}
        />
      ))}
    </details>
  );
}

type GroupProps = {
  kind: WordKind;
  title: string;
  names: readonly string[];
  chosen: string | undefined;
  words: Words;
};

/** A toolbar: the Tab key stops once, the arrow keys move within it. */
function WordGroup({ kind, title, names, chosen, words }: GroupProps) {
  if (names.length === 0) return null;
  const tabStop = chosen ?? names[0];
  return (
    <div class="word-group">
      <p id={`${kind}-words`}>{title}</p>
      <div class="chips" role="toolbar" aria-labelledby={`${kind}-words`} onKeyDown={onArrow}>
        {names.map((name) => (
          <button
            key={name}
            type="button"
            class="chip"
            tabIndex={name === tabStop ? 0 : -1}
            aria-pressed={name === chosen}
            onClick={() => (prompt.value = withWord(prompt.value, kind, name, words))}
          >
            {name}
          </button>
        ))}
      </div>
    </div>
  );
}

function onArrow(event: KeyboardEvent): void {
  const by = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[event.key];
  const { target } = event;
  if (by === undefined || !(target instanceof HTMLElement)) return;
  event.preventDefault();
  const next = by === 1 ? target.nextElementSibling : target.previousElementSibling;
  if (next instanceof HTMLElement) next.focus();
}
