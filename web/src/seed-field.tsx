/** @file The seed field: a fixed seed, or a random one for every generation. */

import { Icon } from "./icon.js";
import { drawSeed, seed, seedLocked } from "./settings.js";

export function SeedField({ invalid }: { invalid: boolean }) {
  const locked = seedLocked.value;
  const lockLabel = locked ? "Use a random seed for every generation" : "Keep this seed";
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
          aria-label="New random seed"
          title="New random seed"
          onClick={() => (seed.value = drawSeed())}
        >
          <Icon name="dice" />
        </button>
      </div>
      <p class="hint" id="seed-hint">
        {locked
          ? "Fixed: the same settings generate the same image."
          : "Random: every generation uses a new seed."}
      </p>
    </div>
  );
}
