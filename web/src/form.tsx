/** @file What to paint and how: the prompts, the button, and the settings below them. */

import type { ComponentChildren } from "preact";
import { useRef } from "preact/hooks";
import { go, view } from "./app.js";
import { NumberField, Problem, SelectField } from "./fields.js";
import { gridProblem, gridRunning } from "./grids.js";
import { Icon, Keys } from "./icon.js";
import { SeedField } from "./seed-field.js";
import {
  chooseModel,
  count,
  guidanceScale,
  model,
  negativePrompt,
  prompt,
  resetToDefaults,
  scheduler,
  served,
  steps,
} from "./settings.js";
import { SizeFields } from "./size-fields.js";
import { StartFields } from "./start-fields.js";
import { failure, tasks } from "./tasks.js";

/** `axes` stands above the settings where a grid is painted. */
export function Form({ axes }: { axes: ComponentChildren }) {
  const onSubmit = (event: Event) => {
    event.preventDefault();
    go();
  };
  return (
    <form class="ask" aria-label="What to paint" onSubmit={onSubmit} noValidate>
      <Prompts />
      <Go />
      {axes}
      <SettingsFields />
    </form>
  );
}

const problemNow = () => (view.value === "grid" ? gridProblem.value : failure.value);
const wrong = (field: string): boolean => problemNow()?.field === field;

function Prompts() {
  return (
    <>
      <div class="field">
        <label for="prompt">Prompt</label>
        <textarea
          id="prompt"
          rows={4}
          placeholder="a red bicycle beside a yellow wall, morning light"
          value={prompt.value}
          aria-invalid={wrong("prompt") ? "true" : undefined}
          onInput={({ currentTarget }) => (prompt.value = currentTarget.value)}
        />
      </div>
      <div class="field">
        <label for="negative">Negative prompt</label>
        <textarea
          id="negative"
          rows={1}
          placeholder="blurry, low quality"
          aria-describedby="negative-hint"
          value={negativePrompt.value}
          onInput={({ currentTarget }) => (negativePrompt.value = currentTarget.value)}
        />
        <p class="hint" id="negative-hint">
          What not to paint.
        </p>
      </div>
    </>
  );
}

function Go() {
  const grid = view.value === "grid";
  const problem = problemNow();
  const queued = tasks.value.length > 0 && !grid;
  return (
    <>
      <button
        type="submit"
        class="primary go"
        aria-keyshortcuts="Control+Enter Meta+Enter"
        disabled={grid && gridRunning.value}
      >
        <Icon name="spark" />
        {grid ? "Paint the grid" : queued ? "Paint this next" : "Paint"}
        <Keys>{`${/Mac|iP/.test(navigator.userAgent) ? "⌘" : "Ctrl"} ↵`}</Keys>
      </button>
      {problem && <Problem>{problem.message}</Problem>}
    </>
  );
}

function SettingsFields() {
  const wide = useRef(matchMedia("(min-width: 60rem)").matches);
  return (
    <details class="settings" open={wide.current}>
      <summary>
        Settings <span class="quiet">{`${steps.value} steps · guidance ${guidanceScale.value}`}</span>
      </summary>
      <div class="fields">
        <ModelFields />
        <SizeFields wrong={wrong} />
        <NumberField
          id="steps"
          label="Steps"
          value={steps}
          min={1}
          max={served.value?.limits.steps ?? 1000}
          step={1}
          slider={50}
          invalid={wrong("steps")}
        />
        <NumberField
          id="guidance"
          label="Guidance"
          value={guidanceScale}
          min={0}
          max={100}
          step={0.1}
          slider={15}
          invalid={wrong("guidanceScale")}
        />
        <SelectField
          id="scheduler"
          label="Scheduler"
          value={scheduler.value}
          options={model.value?.schedulers ?? []}
          onChange={(name) => (scheduler.value = name)}
          invalid={wrong("scheduler")}
        />
        {view.value === "paint" && (
          <NumberField
            id="count"
            label="Pictures"
            value={count}
            min={1}
            max={served.value?.limits.count ?? 100}
            step={1}
            invalid={wrong("count")}
          />
        )}
        <SeedField invalid={wrong("seed")} />
        <StartFields />
      </div>
    </details>
  );
}

function ModelFields() {
  const now = model.value;
  return (
    <div class="wide model">
      <SelectField
        id="model"
        label="Model"
        value={now?.id ?? ""}
        options={(served.value?.models ?? []).map(({ id, name }) => [id, name] as const)}
        onChange={chooseModel}
        invalid={wrong("model")}
      />
      <button
        type="button"
        class="quiet-button"
        title={`From ${now?.advisedBy ?? "the model"}`}
        onClick={() => now && resetToDefaults(now)}
      >
        Its defaults
      </button>
    </div>
  );
}
