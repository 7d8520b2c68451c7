/** @file The form of a request: prompts, the Generate button, and the settings. */

import type { ComponentChildren } from "preact";
import { useRef } from "preact/hooks";
import { NumberField, Problem, SelectField } from "./fields.js";
import { gridProblem, gridRunning } from "./grids.js";
import { Icon, Keys } from "./icon.js";
import { InitImageFields } from "./init-image.js";
import { ModelFields } from "./model-fields.js";
import { longPromptChoices, longPrompts, type Reading, reading, readings } from "./prompt-reading.js";
import { Prompts } from "./prompts.js";
import { SafetyField } from "./safety-field.js";
import { SeedField } from "./seed-field.js";
import { count, guidanceScale, model, scheduler, served, steps } from "./settings.js";
import { SizeFields } from "./size-fields.js";
import { failure, tasks } from "./tasks.js";
import { generate, view } from "./view.js";
import { VocabularyView } from "./vocabulary-view.js";

/** `axes` are the fields of a grid, above the settings. */
export function Form({ axes }: { axes: ComponentChildren }) {
  const onSubmit = (event: Event) => {
    event.preventDefault();
    generate();
  };
  return (
    <form class="request-form" aria-label="What to generate" onSubmit={onSubmit} noValidate>
      <Prompts wrong={wrong} />
      <GenerateButton />
      {axes}
      <VocabularyView />
      <SettingsFields />
    </form>
  );
}

const problemNow = () => (view.value === "grid" ? gridProblem.value : failure.value);
const wrong = (field: string): boolean => problemNow()?.field === field;

function GenerateButton() {
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
        {grid ? "Generate the grid" : queued ? "Add to the queue" : "Generate"}
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
        <ModelFields wrong={wrong} />
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
        {view.value === "generate" && (
          <NumberField
            id="count"
            label="Images"
            value={count}
            min={1}
            max={served.value?.limits.count ?? 100}
            step={1}
            invalid={wrong("count")}
          />
        )}
        <SelectField
          id="reading"
          label="Prompt grammar"
          value={reading.value}
          options={readings}
          onChange={(value) => (reading.value = value as Reading)}
          invalid={wrong("promptSyntax")}
        />
        <SelectField
          id="long-prompts"
          label="Long prompts"
          value={longPrompts.value}
          options={longPromptChoices}
          onChange={(value) => (longPrompts.value = value as typeof longPrompts.value)}
          invalid={wrong("longPrompts")}
        />
        <SafetyField invalid={wrong("safety")} />
        <SeedField invalid={wrong("seed")} />
        <InitImageFields />
      </div>
    </details>
  );
}
