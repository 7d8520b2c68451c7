/** @file The fields for the axes of a grid: which two settings vary, and their values. */

import { axisNames, cellsOf } from "../../src/grid/axes.js";
import { type AxisKind, axisKinds, valueExamples } from "../../src/grid/values.js";
import { SelectField } from "./fields.js";
import { axesNow, gridProblem, xKind, xText, yKind, yText } from "./grids.js";
import { urlOf } from "./images.js";
import { initImage, mask, model, prompt, strength } from "./settings.js";

export function GridAxes() {
  return (
    <fieldset class="axes">
      <legend>What varies</legend>
      <AxisFields name="x" kind={xKind.value} text={xText.value} onText={(text) => (xText.value = text)} />
      <AxisFields name="y" kind={yKind.value} text={yText.value} onText={(text) => (yText.value = text)} />
      <p class="hint" role="status">
        {countText()}
      </p>
      <InitImageNote />
    </fieldset>
  );
}

/** The init image of the form applies to a grid too; its own fields may be folded away. */
function InitImageNote() {
  if (!initImage.value) return null;
  return (
    <div class="init-image-note">
      <img src={urlOf(initImage.value)} alt="" />
      <p class="hint">
        {`Every image starts from the chosen image, at strength ${strength.value}${mask.value ? ", within its mask" : ""}.`}
      </p>
      <button type="button" onClick={() => (initImage.value = mask.value = undefined)}>
        Remove the image
      </button>
    </div>
  );
}

function countText(): string {
  try {
    const count = cellsOf(axesNow()).length;
    return `${count} ${count === 1 ? "image" : "images"}.`;
  } catch {
    return "Ranges are allowed too: 1-6, or 4-20+4.";
  }
}

type AxisProps = { name: "x" | "y"; kind: AxisKind | "none"; text: string; onText: (text: string) => void };

function AxisFields({ name, kind, text, onText }: AxisProps) {
  const options = [...axisKinds.map((known) => [known, axisNames[known]] as const)];
  const choose = (chosen: string) => {
    if (name === "x") xKind.value = chosen as AxisKind;
    else yKind.value = chosen as AxisKind | "none";
    onText(chosen === "none" ? "" : suggestion(chosen as AxisKind, name));
  };
  const wrong = gridProblem.value?.field === name;
  return (
    <div class="axis">
      <SelectField
        id={`${name}-kind`}
        label={name === "x" ? "Across" : "Down"}
        value={kind}
        options={name === "y" ? [["none", "nothing"], ...options] : options}
        onChange={choose}
      />
      {kind !== "none" && (
        <div class="field">
          <label for={`${name}-values`}>{`Values ${name === "x" ? "across" : "down"}`}</label>
          <input
            id={`${name}-values`}
            value={text}
            autocomplete="off"
            aria-describedby={`${name}-hint`}
            aria-invalid={wrong ? "true" : undefined}
            onInput={({ currentTarget }) => onText(currentTarget.value)}
          />
          <p class="hint" id={`${name}-hint`}>
            {valueExamples[kind]}
          </p>
        </div>
      )}
    </div>
  );
}

/** The alternatives in the prompt, as in "a {red|blue} cup". */
const places = () => prompt.value.match(/\{[^{}|]*(?:\|[^{}|]*)+\}/g) ?? [];

/** The values shown when a setting is chosen; of words the prompt's alternatives that the other axis does not have. */
function suggestion(kind: AxisKind, name: "x" | "y"): string {
  const other = name === "x" ? yText.value : xText.value;
  const first: Readonly<Record<AxisKind, string>> = {
    prompt: places().find((place) => place !== other) ?? "",
    seed: "1, 2, 3",
    steps: "4, 8, 16",
    guidanceScale: "1, 3.5, 7",
    scheduler: (model.value?.schedulers ?? []).slice(0, 3).join(", "),
  };
  return first[kind];
}
