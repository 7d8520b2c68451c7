/** @file One sentence that says what the chosen model is, and one on how to get another. */

import type { Model } from "../../src/jobs/schemas.js";
import { model } from "./settings.js";

const families: Readonly<Record<string, string>> = {
  StableDiffusionXLPipeline: "Stable Diffusion XL's kind",
  StableDiffusionPipeline: "Stable Diffusion's kind",
};

export function AboutModel() {
  const now = model.value;
  if (!now) return null;
  return (
    <p class="about">
      <strong>{now.name}</strong> {whatItIs(now)}{" "}
      {now.words ? "For images of anything, start" : "For another model, start"}{" "}
      <code>koala serve --model</code>{" "}
      {now.words ? (
        <>
          with <code>etri-vilab/koala-lightning-700m</code> or any other model's folder or Hub id.
        </>
      ) : (
        "with its folder or Hub id."
      )}
    </p>
  );
}

function whatItIs({ words, pipeline, defaults }: Model): string {
  const size = `${defaults.width} × ${defaults.height} pixels`;
  if (!words) return `is of ${families[pipeline] ?? pipeline} and made for ${size}.`;
  const { nouns, styles, backgrounds } = words;
  const counts = [
    counted(nouns.length, "noun"),
    counted(styles.length, "drawing style"),
    counted(backgrounds.length, "background"),
  ].filter((text) => text !== undefined);
  return `is a small model for ${size} that knows ${listedAnd(counts)}, and nothing else.`;
}

const counted = (count: number, what: string): string | undefined =>
  count === 0 ? undefined : `${count} ${what}${count === 1 ? "" : "s"}`;

const listedAnd = (parts: readonly string[]): string =>
  parts.length < 2 ? parts.join("") : `${parts.slice(0, -1).join(", ")} and ${parts.at(-1)}`;
