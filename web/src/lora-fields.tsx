/** @file The choice of LoRAs and their scales. */

import { Icon } from "./icon.js";
import { type ChosenLora, loras, model } from "./settings.js";

/** A list to add from and a row for each chosen LoRA; nothing if the server has none for the model. */
export function LoraFields({ invalid }: { invalid: boolean }) {
  const served = model.value?.loras ?? [];
  const free = served.filter(({ name }) => !loras.value.some((chosen) => chosen.name === name));
  if (served.length === 0) return null;
  return (
    <fieldset class="wide loras" aria-invalid={invalid ? "true" : undefined}>
      <legend>LoRA</legend>
      {loras.value.map((chosen) => (
        <LoraRow key={chosen.name} {...chosen} />
      ))}
      {free.length > 0 && (
        <select
          aria-label="Add a LoRA"
          value=""
          onChange={({ currentTarget }) => {
            const added = free.find(({ name }) => name === currentTarget.value);
            if (added) loras.value = [...loras.value, added];
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
      <p class="hint">
        {loras.value.length === 0
          ? "No LoRA is added."
          : "After a change of LoRAs the model is loaded again, so the first image takes longer."}
      </p>
    </fieldset>
  );
}

function LoraRow({ name, scale }: ChosenLora) {
  const set = (text: string) => {
    const number = Number(text);
    if (text.trim() === "" || !Number.isFinite(number)) return;
    loras.value = loras.value.map((chosen) => (chosen.name === name ? { name, scale: number } : chosen));
  };
  return (
    <div class="lora">
      <span class="lora-name">{name}</span>
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
      <button
        type="button"
        class="icon"
        aria-label={`Remove ${name}`}
        title="Remove"
        onClick={() => (loras.value = loras.value.filter((chosen) => chosen.name !== name))}
      >
        <Icon name="close" />
      </button>
    </div>
  );
}
