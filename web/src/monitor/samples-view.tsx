/** @file The images generated while training: for each prompt the image at one step, and a strip of earlier steps. */

import { signal } from "@preact/signals";
import { useEffect, useRef } from "preact/hooks";
import type { SamplePrompts, Samples } from "../../../src/monitor/samples.js";

type SampleImage = SamplePrompts[number];

/** Undefined shows the latest step, also when further steps arrive. */
const chosenStep = signal<number | undefined>(undefined);
const maxInStrip = 24;

export function SamplesView({ samples }: { samples: readonly Samples[] }) {
  if (samples.length === 0) return null;
  const found = samples.findIndex(({ step }) => step === chosenStep.value);
  const index = found < 0 ? samples.length - 1 : found;
  const shown = samples[index]!;
  return (
    <section aria-labelledby="samples-title">
      <div class="section-head">
        <h2 id="samples-title">Images</h2>
        <label class="step">
          Step
          <input
            type="range"
            min={0}
            max={samples.length - 1}
            value={index}
            aria-valuetext={`step ${shown.step}`}
            onInput={({ currentTarget }) => choose(samples, Number(currentTarget.value))}
          />
          <output>{shown.step.toLocaleString("en")}</output>
        </label>
      </div>
      {promptsOf(samples).map((image) => (
        <PromptRow key={keyOf(image)} image={image} samples={samples} shown={shown} />
      ))}
    </section>
  );
}

function choose(samples: readonly Samples[], index: number): void {
  chosenStep.value = index === samples.length - 1 ? undefined : samples[index]!.step;
}

const keyOf = ({ prompt, seed }: SampleImage): string => `${seed} ${prompt}`;
const imageOf = (sample: Samples, image: SampleImage): SampleImage | undefined =>
  sample.images.find((other) => keyOf(other) === keyOf(image));
const source = (sample: Samples, { file }: SampleImage): string => `/samples/${sample.folder}/${file}`;

/** One image of each prompt and seed. */
function promptsOf(samples: readonly Samples[]): SampleImage[] {
  const all = samples.flatMap(({ images }) => images);
  return [...new Map(all.toReversed().map((image) => [keyOf(image), image])).values()].toReversed();
}

type RowProps = { image: SampleImage; samples: readonly Samples[]; shown: Samples };

function PromptRow({ image, samples, shown }: RowProps) {
  const current = imageOf(shown, image);
  return (
    <div class="sample-row card">
      <div class="sample">
        {current && (
          <img src={source(shown, current)} alt={`${image.prompt}, generated after step ${shown.step}`} />
        )}
      </div>
      <p>
        {image.prompt || "(no prompt)"} <span class="quiet">{`seed ${image.seed}`}</span>
      </p>
      <Strip image={image} samples={samples} shown={shown} />
    </div>
  );
}

function Strip({ image, samples, shown }: RowProps) {
  const strip = useRef<HTMLDivElement>(null);
  useEffect(() => {
    const pressed = strip.current?.querySelector<HTMLElement>("[aria-pressed=true]");
    if (!strip.current || !pressed) return;
    const start = pressed.offsetLeft - strip.current.offsetLeft;
    strip.current.scrollLeft = start - (strip.current.clientWidth - pressed.offsetWidth) / 2;
  }, [shown.step]);
  return (
    <div class="strip" ref={strip}>
      {stripIndices(samples.length).map((index) => {
        const sample = samples[index]!;
        const thumbnail = imageOf(sample, image);
        return (
          thumbnail && (
            <button
              key={sample.step}
              type="button"
              aria-label={`step ${sample.step}`}
              aria-pressed={sample === shown}
              onClick={() => choose(samples, index)}
            >
              <img loading="lazy" alt="" src={source(sample, thumbnail)} />
              {sample.step.toLocaleString("en")}
            </button>
          )
        );
      })}
    </div>
  );
}

/** All indices, or as many as fit into a strip, evenly spaced, with the first and the last. */
function stripIndices(count: number): number[] {
  const shown = Math.min(count, maxInStrip);
  return Array.from({ length: shown }, (_, i) => Math.round((i * (count - 1)) / Math.max(1, shown - 1)));
}
