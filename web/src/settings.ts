/** @file The values of the form as signals, kept in localStorage; the model's defaults; and the request made of them. */

import { computed, effect, type Signal, signal } from "@preact/signals";
import type { Model, ModelList } from "../../src/jobs/model-schemas.js";
import type { GenerationRequest, GenerationSettings } from "../../src/jobs/schemas.js";
import type { SafetyRule } from "../../src/pipeline/safety-rules.js";
import { base64, preparedImage, sizeOf } from "./images.js";
import { applyReading, longPrompts, reading, readingFields } from "./prompt-reading.js";
import type { ReadSettings } from "./read-settings.js";

export const prompt = signal("");
export const negativePrompt = signal("");
const modelId = signal("");
export const width = signal(512);
export const height = signal(512);
export const steps = signal(10);
export const guidanceScale = signal(3.5);
export const seed = signal(drawSeed());
/** Without it, every generation draws a new seed. */
export const seedLocked = signal(false);
export const scheduler = signal("");
export const count = signal(1);
export const strength = signal(0.6);
/** Whether the vocabulary of a small model is shown: at first only where there is room. */
export const vocabularyOpen = signal(matchMedia("(min-width: 60rem)").matches);

export type ChosenLora = Model["loras"][number];
/** Those that are not tags of the prompt, from the settings of an image; only what the server has for the model. */
export const loras = signal<readonly ChosenLora[]>([]);

/** What image-to-image begins with. */
export type InitFiles = { image?: Blob; mask?: Blob };

/** For image-to-image; the mask is white where the image changes. */
export const initImage = signal<Blob | undefined>(undefined);
export const mask = signal<Blob | undefined>(undefined);

export const served = signal<ModelList | undefined>(undefined);
export const model = computed<Model | undefined>(
  () => served.value?.models.find(({ id }) => id === modelId.value) ?? served.value?.models[0],
);

const chosenSafety = signal<SafetyRule | undefined>(undefined);
/** The chosen rule where the model allows it, else the model's own. */
export const safety = computed<SafetyRule | undefined>(() => {
  const { choices = [], default: own } = model.value?.safety ?? {};
  return chosenSafety.value && choices.includes(chosenSafety.value) ? chosenSafety.value : own;
});
export const chooseSafety = (rule: SafetyRule): void => void (chosenSafety.value = rule);

export function drawSeed(): string {
  return String(crypto.getRandomValues(new Uint32Array(1))[0]!);
}

const storedSignals: Readonly<Record<string, Signal<unknown>>> = {
  prompt,
  negativePrompt,
  modelId,
  width,
  height,
  steps,
  guidanceScale,
  seed,
  seedLocked,
  scheduler,
  count,
  strength,
  vocabularyOpen,
  reading,
  longPrompts,
  chosenSafety,
};

const storageKey = "koala.settings";

/** Restores the values of the last visit, or the first model's defaults, and stores every change from now on. */
export function initSettings(list: ModelList): void {
  served.value = list;
  const before = storedSettings();
  const known = list.models.some(({ id }) => id === before.modelId);
  for (const [name, value] of Object.entries(known ? before : {})) {
    const target = storedSignals[name] as Signal<unknown> | undefined;
    if (target && typeof target.value === typeof value) target.value = value;
  }
  loras.value = known ? matchLoras(before.loras).here : [];
  if (!known && list.models[0]) chooseModel(list.models[0].id);
  effect(() => {
    const values = Object.fromEntries(
      Object.entries(storedSignals).map(([name, { value }]) => [name, value]),
    );
    localStorage.setItem(storageKey, JSON.stringify({ ...values, loras: loras.value }));
  });
}

function storedSettings(): Readonly<Record<string, unknown>> {
  try {
    const value: unknown = JSON.parse(localStorage.getItem(storageKey) ?? "{}");
    return typeof value === "object" && value !== null ? (value as Record<string, unknown>) : {};
  } catch {
    return {};
  }
}

/** Chooses a model and its defaults. */
export function chooseModel(id: string): void {
  const chosen = served.value?.models.find((model) => model.id === id);
  if (!chosen) return;
  modelId.value = id;
  loras.value = matchLoras(loras.value).here;
  resetToDefaults(chosen);
}

/** The LoRAs that the server has for the model, and the names of the others. */
function matchLoras(wanted: unknown): { here: ChosenLora[]; missing: string[] } {
  const here: ChosenLora[] = [];
  const missing: string[] = [];
  for (const lora of Array.isArray(wanted) ? wanted : []) {
    const { name, scale } = (lora ?? {}) as Partial<ChosenLora>;
    const served = model.value?.loras.find((known) => known.name === name);
    if (served) here.push({ name: served.name, scale: typeof scale === "number" ? scale : served.scale });
    else if (typeof name === "string") missing.push(name);
  }
  return { here, missing };
}

export function resetToDefaults({ defaults }: Model): void {
  width.value = defaults.width;
  height.value = defaults.height;
  steps.value = defaults.steps;
  guidanceScale.value = defaults.guidanceScale;
  scheduler.value = defaults.scheduler;
  negativePrompt.value = defaults.negativePrompt ?? "";
}

/** Fills the form with the settings of an image. Returns a sentence on what is not available here, if anything. */
export function applySettings(from: ReadSettings | GenerationSettings): string | undefined {
  const known = served.value?.models.find(({ id, name }) => id === from.model || name === from.model);
  if (known) chooseModel(known.id);
  // Where the prompt could not be read, both prompts of the form are kept.
  negativePrompt.value = from.negativePrompt ?? (from.prompt === undefined ? negativePrompt.value : "");
  prompt.value = from.prompt ?? prompt.value;
  if (from.prompt !== undefined) applyReading(from);
  width.value = from.width ?? width.value;
  height.value = from.height ?? height.value;
  steps.value = from.steps ?? steps.value;
  guidanceScale.value = from.guidanceScale ?? guidanceScale.value;
  strength.value = from.strength ?? strength.value;
  if (from.seed !== undefined) {
    seed.value = from.seed;
    seedLocked.value = true;
  }
  const missing: string[] = from.padConditions ? ["prompts padded to one length (padConditions)"] : [];
  if (from.emphasis !== undefined) missing.push(`the emphasis ${from.emphasis}`);
  if (from.scheduler !== undefined && model.value?.schedulers.includes(from.scheduler))
    scheduler.value = from.scheduler;
  else if (from.scheduler !== undefined) missing.push(`the scheduler ${from.scheduler}`);
  if (from.model !== undefined && !known) missing.push(`the model ${from.model}`);
  const chosen = matchLoras(from.lora);
  loras.value = chosen.here;
  if (chosen.missing.length > 0) missing.push(`the LoRA ${chosen.missing.join(", ")}`);
  count.value = 1;
  return missing.length === 0
    ? undefined
    : `Not available here: ${missing.join(" and ")}. The other settings were applied.`;
}

/** Sets the init image, and a size of its shape that fits the model. Returns false if the file is not an image. */
export async function setInitImage(file: Blob): Promise<boolean> {
  const image = await preparedImage(file);
  const size = image && (await sizeOf(image));
  if (!size) return false;
  initImage.value = image;
  mask.value = undefined;
  const fitted = fittedSize(size);
  width.value = fitted.width;
  height.value = fitted.height;
  return true;
}

/** A size of the image's aspect ratio, with about as many pixels as the model's default. */
function fittedSize(size: { width: number; height: number }): { width: number; height: number } {
  const { defaults, sizeMultiple = 8 } = model.value ?? {};
  const pixels = defaults ? defaults.width * defaults.height : 512 * 512;
  const scale = Math.sqrt(pixels / (size.width * size.height));
  const fit = (side: number) =>
    Math.max(sizeMultiple, Math.round((side * scale) / sizeMultiple) * sizeMultiple);
  return { width: fit(size.width), height: fit(size.height) };
}

/** The request for images like one that was generated: with its settings and what it began with. */
export async function requestAgain(
  { masked: _, ...settings }: GenerationSettings,
  { image, mask: itsMask }: InitFiles,
): Promise<GenerationRequest> {
  return {
    ...settings,
    ...(image && { image: await base64(image) }),
    ...(image && itsMask && { mask: await base64(itsMask) }),
  };
}

/** The request that the form describes, with a new seed unless it is locked. */
export async function requestNow(): Promise<GenerationRequest> {
  if (!seedLocked.value || !/^\d+$/.test(seed.value)) seed.value = drawSeed();
  const image = initImage.value;
  // Absent, it means the model's default; so an empty one is only sent where there is a default to replace.
  const negative = negativePrompt.value !== "" || model.value?.defaults.negativePrompt !== undefined;
  return {
    prompt: prompt.value,
    ...(negative && { negativePrompt: negativePrompt.value }),
    ...(model.value && { model: model.value.id }),
    width: width.value,
    height: height.value,
    steps: steps.value,
    guidanceScale: guidanceScale.value,
    seed: seed.value,
    ...(scheduler.value !== "" && { scheduler: scheduler.value }),
    count: count.value,
    ...((model.value?.safety?.choices.length ?? 0) > 1 && safety.value && { safety: safety.value }),
    ...(loras.value.length > 0 && { lora: [...loras.value] }),
    ...readingFields(prompt.value, negativePrompt.value),
    ...(image && { image: await base64(image), strength: strength.value }),
    ...(image && mask.value && { mask: await base64(mask.value) }),
  };
}
