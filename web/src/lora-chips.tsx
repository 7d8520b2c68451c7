/** @file The LoRAs of a generation as chips below the prompt: those of its tags, and those of an image's settings. */

import { Icon } from "./icon.js";
import { type LoraTag, loraTags, withoutTag, withScale, withTag } from "./lora-tags.js";
import { reading } from "./prompt-reading.js";
import { loras, model, prompt } from "./settings.js";

/** A chip for each LoRA, and a list to add from; nothing if there is neither. */
export function LoraChips({ invalid }: { invalid: boolean }) {
  const served = model.value?.loras ?? [];
  const isPlain = reading.value === "none";
  const tags = isPlain ? [] : loraTags(prompt.value);
  const taken = new Set([...tags, ...loras.value].map(({ name }) => name));
  const free = served.filter(({ name }) => !taken.has(name));
  if (served.length === 0 && tags.length === 0) return null;
  return (
    <fieldset class="lora-chips" aria-invalid={invalid ? "true" : undefined}>
      <legend class="visually-hidden">LoRAs</legend>
      {tags.map((tag, index) => (
        <TagChip
          key={`${tag.name} ${index}`}
          tag={tag}
          known={served.some(({ name }) => name === tag.name)}
        />
      ))}
      {loras.value.map(({ name, scale }) => (
        <Chip
          key={name}
          name={name}
          scale={scale}
          onScale={(changed) => setLoras(name, changed)}
          onRemove={() => setLoras(name, undefined)}
        />
      ))}
      {free.length > 0 && (
        <select
          aria-label="Add a LoRA"
          value=""
          onChange={({ currentTarget }) => {
            const added = free.find(({ name }) => name === currentTarget.value);
            if (added && isPlain) loras.value = [...loras.value, added];
            else if (added) prompt.value = withTag(prompt.value, added.name, added.scale);
            currentTarget.value = "";
          }}
        >
          <option value="">Add a LoRA…</option>
          {free.map(({ name }) => (
            <option key={name} value={name}>
              {name}
            </option>
          ))}
        </select>
      )}
    </fieldset>
  );
}

function setLoras(name: string, scale: number | undefined): void {
  loras.value = loras.value.flatMap((lora) => {
    if (lora.name !== name) return [lora];
    return scale === undefined ? [] : [{ name, scale }];
  });
}

function TagChip({ tag, known }: { tag: LoraTag; known: boolean }) {
  return (
    <Chip
      name={tag.name}
      scale={tag.scale}
      problem={known ? undefined : "Not on this server for this model"}
      onScale={(scale) => (prompt.value = withScale(prompt.value, tag, scale))}
      onRemove={() => (prompt.value = withoutTag(prompt.value, tag))}
    />
  );
}

type ChipProps = {
  name: string;
  scale: number;
  problem?: string | undefined;
  onScale: (scale: number) => void;
  onRemove: () => void;
};

function Chip({ name, scale, problem, onScale, onRemove }: ChipProps) {
  const set = (text: string) => {
    const number = Number(text);
    if (text.trim() !== "" && Number.isFinite(number)) onScale(number);
  };
  return (
    <span class={problem ? "lora-chip problem" : "lora-chip"} title={problem}>
      <span class="lora-name">{name}</span>
      {problem && <span class="visually-hidden">{problem}</span>}
      <input
        type="number"
        inputMode="decimal"
        aria-label={`Scale of ${name}`}
        min={-10}
        max={10}
        step={0.05}
        value={scale}
        onInput={({ currentTarget }) => set(currentTarget.value)}
      />
      <button type="button" class="icon" aria-label={`Remove ${name}`} title="Remove" onClick={onRemove}>
        <Icon name="close" />
      </button>
    </span>
  );
}
