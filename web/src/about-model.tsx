/** @file One sentence on what the chosen model is, and one on how to get another. */

import type { Model } from "../../src/jobs/model-schemas.js";
import { place } from "./chosen-backend.js";
import { model } from "./settings.js";

const families: Readonly<Record<string, string>> = {
  StableDiffusionXLPipeline: "Stable Diffusion XL",
  StableDiffusionPipeline: "Stable Diffusion",
};

export function AboutModel() {
  const now = model.value;
  if (!now) return null;
  return (
    <p class="about">
      <strong>{now.name}</strong> {descriptionOf(now)} {placeOf(now)} {safetyOf(now)}{" "}
      {place === "tab" ? null : now.words ? (
        <>
          For anything else, serve a larger model by its Hub id or folder:{" "}
          <code>koala serve --model etri-vilab/koala-lightning-700m</code>
        </>
      ) : (
        <>
          To use another model, start <code>koala serve --model</code> with its folder or Hub id.
        </>
      )}
    </p>
  );
}

function descriptionOf({ words, pipeline, defaults }: Model): string {
  const size = `${defaults.width} × ${defaults.height} pixels`;
  if (!words) return `is a model of the ${families[pipeline] ?? pipeline} family for ${size}.`;
  const { nouns, styles, backgrounds } = words;
  const counts = [
    counted(nouns.length, "noun"),
    counted(styles.length, "drawing style"),
    counted(backgrounds.length, "background"),
  ].filter((text) => text !== undefined);
  return `is a small model for ${size}. It knows ${joinedByAnd(counts)}, and nothing else.`;
}

const tabDevices: Readonly<Record<string, string>> = {
  cpu: "on the processor by WebAssembly",
  webgpu: "on the graphics card by WebGPU",
};

const placeOf = ({ device, dtype, weights = "stored" }: Model): string => {
  if (device === undefined) return "";
  const arithmetic = dtype === undefined ? "" : ` in ${dtype}`;
  const where = place === "tab" ? `in this tab, ${tabDevices[device] ?? `on ${device}`},` : `on ${device}`;
  return `It runs ${where}${arithmetic}${weights === "stored" ? "" : ` with ${weights} weights`}.`;
};

const safetyOf = ({ safety }: Model): string =>
  safety && safety.choices.length === 1 && safety.default !== "off"
    ? `A safety checker looks at its images: flagged ones are ${safety.default === "blur" ? "blurred" : "refused"}.`
    : "";

const counted = (count: number, what: string): string | undefined =>
  count === 0 ? undefined : `${count} ${what}${count === 1 ? "" : "s"}`;

const joinedByAnd = (parts: readonly string[]): string =>
  parts.length < 2 ? parts.join("") : `${parts.slice(0, -1).join(", ")} and ${parts.at(-1)}`;
