/** @file The textual inversions that a prompt names as chips below it, and a list to add from. */

import type { Signal } from "@preact/signals";
import { embeddingWords, withEmbedding, withoutEmbedding } from "./embedding-words.js";
import { Icon } from "./icon.js";
import { reading } from "./prompt-reading.js";
import { model } from "./settings.js";

/** Nothing for a model without them; `label` is the prompt's. */
export function EmbeddingChips({ label, value }: { label: string; value: Signal<string> }) {
  const tokens = (model.value?.embeddings ?? []).map(({ token }) => token);
  if (tokens.length === 0) return null;
  const words = embeddingWords(value.value, tokens, reading.value !== "none");
  const free = tokens.filter((token) => words.every((word) => word.token !== token));
  return (
    <fieldset class="lora-chips">
      <legend class="visually-hidden">{`Embeddings of the ${label.toLowerCase()}`}</legend>
      {words.map((word) => (
        <span key={word.token} class="lora-chip">
          <span class="lora-name">{word.token}</span>
          <button
            type="button"
            class="icon"
            aria-label={`Remove ${word.token} from the ${label.toLowerCase()}`}
            title="Remove"
            onClick={() => (value.value = withoutEmbedding(value.value, word))}
          >
            <Icon name="close" />
          </button>
        </span>
      ))}
      {free.length > 0 && (
        <select
          aria-label={`Add an embedding to the ${label.toLowerCase()}`}
          value=""
          onChange={({ currentTarget }) => {
            const token = currentTarget.value;
            if (token !== "") value.value = withEmbedding(value.value, token);
            currentTarget.value = "";
          }}
        >
          <option value="">Add an embedding…</option>
          {free.map((token) => (
            <option key={token} value={token}>
              {token}
            </option>
          ))}
        </select>
      )}
    </fieldset>
  );
}
