/** @file The prompt fields, each with its token count and notes on what the model will ignore. */

import type { Signal } from "@preact/signals";
import type { TokenCount } from "../../src/text/token-count.js";
import { EmbeddingChips } from "./embedding-chips.js";
import { examplesOf } from "./examples.js";
import { Icon } from "./icon.js";
import { LongText } from "./long-text.js";
import { LoraChips } from "./lora-chips.js";
import { negativeNotes, type PromptNotes, promptNotes } from "./prompt-notes.js";
import { changeWeightIn, PromptText } from "./prompt-text.js";
import { model, negativePrompt, prompt } from "./settings.js";
import { tokenCounts } from "./token-counts.js";

export function Prompts({ wrong }: { wrong: (field: string) => boolean }) {
  return (
    <>
      <PromptField
        id="prompt"
        label="Prompt"
        rows={4}
        placeholder={examplesOf(model.value?.words)[0]!}
        value={prompt}
        count={tokenCounts.value?.prompt}
        notes={promptNotes.value}
        invalid={wrong("prompt")}
      />
      <LoraChips invalid={wrong("lora")} />
      <EmbeddingChips label="Prompt" value={prompt} />
      <PromptField
        id="negative"
        label="Negative prompt"
        rows={1}
        placeholder={model.value?.words ? "what not to show" : "blurry, low quality"}
        value={negativePrompt}
        count={negativePrompt.value === "" ? undefined : tokenCounts.value?.negative}
        notes={negativeNotes.value}
        invalid={wrong("negativePrompt")}
      />
      <EmbeddingChips label="Negative prompt" value={negativePrompt} />
    </>
  );
}

type FieldProps = {
  id: string;
  label: string;
  rows: number;
  placeholder: string;
  value: Signal<string>;
  count: TokenCount | undefined;
  notes: PromptNotes;
  invalid: boolean;
};

function PromptField({ id, label, rows, placeholder, value, count, notes, invalid }: FieldProps) {
  return (
    <div class="field">
      <div class="label-row">
        <label for={id}>{label}</label>
        <WeightButtons id={id} label={label} />
        <Count id={`${id}-count`} count={count} />
      </div>
      <PromptText
        id={id}
        rows={rows}
        placeholder={placeholder}
        value={value}
        invalid={invalid}
        describedBy={`${id}-count ${id}-notes`}
      />
      <div id={`${id}-notes`} class="notes" role="status">
        <Unknown words={notes.unknown} value={value} />
        {notes.others.map((note) => (
          <LongText key={note} class="prompt-note" text={note} />
        ))}
      </div>
    </div>
  );
}

/** The keys' actions for who has none. */
function WeightButtons({ id, label }: { id: string; label: string }) {
  const change = (direction: 1 | -1) => {
    const field = document.getElementById(id);
    if (field instanceof HTMLTextAreaElement) changeWeightIn(field, direction);
  };
  return (
    <span class="weight-buttons">
      <button
        type="button"
        class="icon"
        aria-label={`${label}: less weight for the selection`}
        title="Less weight for the selection (Ctrl+Down)"
        onClick={() => change(-1)}
      >
        <Icon name="minus" />
      </button>
      <button
        type="button"
        class="icon"
        aria-label={`${label}: more weight for the selection`}
        title="More weight for the selection (Ctrl+Up)"
        onClick={() => change(1)}
      >
        <Icon name="plus" />
      </button>
    </span>
  );
}

function Count({ id, count }: { id: string; count: TokenCount | undefined }) {
  const over = count?.cut !== undefined;
  return (
    <span
      id={id}
      class={over ? "count problem" : "count"}
      title={`Counted by the model's tokenizer. The text encoder reads ${count ? count.limit - marks : "75"} at once.`}
    >
      {count && countText(count)}
    </span>
  );
}

/** Start and end, which every chunk has. */
const marks = 2;

function countText({ tokens, limit, chunks = 1 }: TokenCount): string {
  const text = `${tokens - marks} of ${chunks * (limit - marks)} tokens`;
  return chunks > 1 ? `${text}, ${chunks} chunks` : text;
}

const maxShown = 8;

/** Each word outside the model's vocabulary, with similar words to replace it. */
function Unknown({ words, value }: { words: PromptNotes["unknown"]; value: Signal<string> }) {
  if (words.length === 0) return null;
  const rest = words.length - maxShown;
  return (
    <div class="prompt-note unknown">
      <span>Not known to this model:</span>
      <ul>
        {words.slice(0, maxShown).map(({ word, near }) => (
          <li key={word}>
            <mark>{word}</mark>
            {near.map((name) => (
              <button
                key={name}
                type="button"
                class="chip"
                aria-label={`Replace ${word} with ${name}`}
                onClick={() => (value.value = replacedWord(value.value, word, name))}
              >
                {name}
              </button>
            ))}
          </li>
        ))}
        {rest > 0 && <li>{`and ${rest} more`}</li>}
      </ul>
    </div>
  );
}

/** Replaces `word` wherever it stands as a whole word, in any case. */
function replacedWord(text: string, word: string, by: string): string {
  const parts = text.split(/([\p{L}\p{N}']+)/u);
  return parts.map((part) => (part.toLowerCase() === word ? by : part)).join("");
}
