/** @file The tour's sections on steps: what each predicts of the clean image, and guidance as a difference of two predictions. */

import { useSignal } from "@preact/signals";
import { differenceImage } from "../../src/image/heat-map.js";
import type { RgbImage } from "../../src/image/pixels.js";
import type { StepPredictions } from "../../src/jobs/schemas.js";
import { Pixels, usePixels } from "./pixels.js";
import { model } from "./settings.js";
import { Section } from "./tour-section.js";

type Step = StepPredictions["steps"][number];

export function TourSteps({ predictions: { steps, total } }: { predictions: StepPredictions }) {
  const pixels = usePixels(steps.map(({ guided }) => guided));
  return (
    <Section number={3} title="Steps: from a guess to an image">
      <p>
        {`The network is asked ${total} times what the clean image is under the noise. Each time a part of the noise is
        removed in the direction of its answer, and it is asked again. These are its answers.`}
        {steps.length < total && ` Of all, ${steps.length} are shown.`}
        {model.value?.safety?.default !== "off" &&
          " They are blurred, since the safety checker of this model looks at finished images only."}
      </p>
      <div class="tour-images steps">
        {steps.map(({ index, timestep, guided }, i) => (
          <figure>
            <img src={guided} alt={`Prediction of step ${index + 1}`} />
            <figcaption>
              <strong>{`Step ${index + 1} of ${total}.`}</strong>
              {stepSentence(timestep, i, pixels)}
            </figcaption>
          </figure>
        ))}
      </div>
    </Section>
  );
}

function stepSentence(timestep: number, i: number, pixels: readonly RgbImage[] | undefined): string {
  const level = `at noise level ${Math.round(timestep)} of 999`;
  const [now, before] = [pixels?.[i], pixels?.[i - 1]];
  if (i === 0) return ` The first guess, ${level}.`;
  if (!now || !before) return ` The prediction ${level}.`;
  return ` The prediction ${level} differs from the one before by ${percent(meanDifference(now, before))} of the brightness on average.`;
}

/** Of all pixels and colours, as a share of the range. */
const meanDifference = (a: RgbImage, b: RgbImage): number =>
  a.data.reduce((sum, level, i) => sum + Math.abs(level - b.data[i]!), 0) / a.data.length / 255;

const percent = (share: number): string => `${(100 * share).toFixed(1)} %`;

export function TourGuidance({ predictions, scale }: { predictions: StepPredictions; scale: number }) {
  const steps = predictions.steps.filter(({ negative }) => negative !== undefined);
  const chosen = useSignal(0);
  const title = "Guidance: the difference of two predictions";
  if (steps.length === 0)
    return (
      <Section number={4} title={title}>
        <p>{`This model runs at guidance ${scale}: the network predicts once in each step, and nothing is compared.`}</p>
      </Section>
    );
  const step = steps[Math.min(chosen.value, steps.length - 1)]!;
  return (
    <Section number={4} title={title}>
      <p>
        {`In each step the network predicts twice: once with the prompt, once without it. The difference is what the prompt
        asks for, and the step goes ${scale} times as far in its direction. Choose a step.`}
      </p>
      <div class="field tour-choice">
        <label for="tour-step">{`Step ${step.index + 1} of ${predictions.total}`}</label>
        <input
          id="tour-step"
          type="range"
          min={0}
          max={steps.length - 1}
          value={Math.min(chosen.value, steps.length - 1)}
          aria-valuetext={`Step ${step.index + 1}`}
          onInput={({ currentTarget }) => (chosen.value = Number(currentTarget.value))}
        />
      </div>
      <Predictions step={step} scale={scale} />
    </Section>
  );
}

function Predictions({ step, scale }: { step: Step; scale: number }) {
  const pixels = usePixels([step.prompt!, step.negative!]);
  const negative = model.value?.defaults.negativePrompt;
  const difference = pixels && differenceImage(pixels[1]!, pixels[0]!);
  return (
    <div class="tour-images guidance">
      <figure>
        <img src={step.negative} alt="Prediction without the prompt" />
        <figcaption>
          {negative
            ? `With the negative prompt instead, "${negative}": what to keep away from.`
            : "Without the prompt: what images in general look like under this noise."}
        </figcaption>
      </figure>
      <figure>
        <img src={step.prompt} alt="Prediction with the prompt" />
        <figcaption>With the prompt: the same noise, read as what the prompt says.</figcaption>
      </figure>
      <figure>
        {difference && <Pixels image={difference} label="Difference of the two predictions" />}
        <figcaption>
          {`The second minus the first, grey where they agree. The network's two answers differ by
          ${percent(step.difference!)} of the length of the first.`}
        </figcaption>
      </figure>
      <figure>
        <img src={step.guided} alt="Guided prediction" />
        <figcaption>{`The first, and ${scale} times the difference added: what the step goes towards.`}</figcaption>
      </figure>
    </div>
  );
}
