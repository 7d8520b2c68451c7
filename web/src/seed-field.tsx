/** @file The seed: kept, drawn anew for every generation, or drawn once more. */

import { Icon } from "./icon.js";
import { drawSeed, seed, seedLocked } from "./settings.js";

export function SeedField({ invalid }: { invalid: boolean }) {
  const locked = seedLocked.value;
  const lockLabel = locked ? "Seed is kept. Draw a new one for every generation." : "Keep this seed.";
  return (
    <div class="field wide">
      <label for="seed">Seed</label>
      <div class="joined">
        <input
          id="seed"
          inputMode="numeric"
          pattern="-1|[0-9]{1,20}"
          autocomplete="off"
          value={seed.value}
          aria-invalid={invalid ? "true" : undefined}
          aria-describedby="seed-hint"
          onInput={({ currentTarget }) => {
            seed.value = currentTarget.value.replace(/(?!^-)\D/g, "").slice(0, 20);
            currentTarget.value = seed.value;
            seedLocked.value = !["", "-", "-1"].includes(seed.value);
          }}
        />
        <button
          type="button"
          class="icon"
          aria-pressed={locked}
          aria-label="Keep this seed"
          title={lockLabel}
          onClick={() => (seedLocked.value = !locked)}
        >
          <Icon name={locked ? "lock" : "unlock"} />
        </button>
        <button
          type="button"
          class="icon"
          aria-label="Draw another seed"
          title="Draw another seed"
          onClick={() => (seed.value = drawSeed())}
        >
          <Icon name="dice" />
        </button>
      </div>
      <p class="hint" id="seed-hint">
        {locked
          ? "Kept: the same settings generate the same image."
          : "A new one is drawn for every generation."}
      </p>
    </div>
  );
}
