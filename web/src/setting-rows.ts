/** @file Settings as rows of label and value, and which of them differ between images. */

import type { GenerationSettings } from "../../src/jobs/schemas.js";

export function settingRows(settings: GenerationSettings): (readonly [name: string, value: string])[] {
  const { negativePrompt, model, lora, width, height, steps, guidanceScale, seed } = settings;
  const { scheduler, strength, masked, promptSyntax, dynamicPrompts, longPrompts } = settings;
  return [
    ...(negativePrompt ? [["Negative prompt", negativePrompt] as const] : []),
    ...(promptSyntax === "a1111" ? [["Prompt grammar", "AUTOMATIC1111"] as const] : []),
    ...(dynamicPrompts ? [["Alternatives", "expanded"] as const] : []),
    ...(longPrompts === "cut" ? [["Long prompts", "cut"] as const] : []),
    ["Model", model],
    ...(lora ? [["LoRA", lora.map(({ name, scale }) => `${name} (${scale})`).join(", ")] as const] : []),
    ["Size", `${width} × ${height}`],
    ["Steps", String(steps)],
    ["Guidance", String(guidanceScale)],
    ["Scheduler", scheduler],
    ["Seed", seed],
    ...(strength === undefined ? [] : [["Strength", String(strength)] as const]),
    ...(masked ? [["Mask", "yes"] as const] : []),
  ];
}

/** Labels of the settings that are not the same for all images. */
export function differingSettings(all: readonly GenerationSettings[]): Set<string> {
  const rows = all.map((settings) => new Map([["Prompt", settings.prompt], ...settingRows(settings)]));
  const names = new Set(rows.flatMap((row) => [...row.keys()]));
  return new Set([...names].filter((name) => new Set(rows.map((row) => row.get(name))).size > 1));
}
