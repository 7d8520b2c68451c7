/** @file What becomes of images that the model's safety checker flags, where there is something to choose. */

import type { SafetyRule } from "../../src/pipeline/safety-rules.js";
import { SelectField } from "./fields.js";
import { chooseSafety, model, safety } from "./settings.js";

const texts: Readonly<Record<SafetyRule, string>> = {
  off: "Off",
  blur: "Blur what is flagged",
  refuse: "Refuse what is flagged",
};

export function SafetyField({ invalid }: { invalid: boolean }) {
  const { choices = [] } = model.value?.safety ?? {};
  if (choices.length < 2) return null;
  return (
    <SelectField
      id="safety"
      label="Safety checker"
      value={safety.value ?? ""}
      options={choices.map((rule) => [rule, texts[rule]] as const)}
      onChange={(rule) => chooseSafety(rule as SafetyRule)}
      invalid={invalid}
    />
  );
}
