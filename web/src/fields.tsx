/** @file Form fields for numbers and choices, and the message of a problem. */

import type { Signal } from "@preact/signals";
import type { ComponentChildren } from "preact";

export type NumberFieldProps = {
  id: string;
  label: string;
  value: Signal<number>;
  min: number;
  max: number;
  step: number;
  /** Adds a slider from `min` to this value. */
  slider?: number;
  hint?: string;
  invalid?: boolean | undefined;
};

export function NumberField({ id, label, value, min, max, step, slider, hint, invalid }: NumberFieldProps) {
  const set = (text: string) => {
    const number = Number(text);
    if (text.trim() !== "" && Number.isFinite(number)) value.value = number;
  };
  const bounds = { min, max, step };
  return (
    <div class="field number">
      <label for={id}>{label}</label>
      <input
        id={id}
        type="number"
        inputMode="decimal"
        required
        {...bounds}
        value={value.value}
        aria-invalid={invalid ? "true" : undefined}
        aria-describedby={hint ? `${id}-hint` : undefined}
        onInput={({ currentTarget }) => set(currentTarget.value)}
      />
      {slider !== undefined && (
        <input
          type="range"
          aria-label={`${label}, slider`}
          {...bounds}
          max={Math.min(max, slider)}
          value={value.value}
          onInput={({ currentTarget }) => set(currentTarget.value)}
        />
      )}
      {hint && (
        <p class="hint" id={`${id}-hint`}>
          {hint}
        </p>
      )}
    </div>
  );
}

export type SelectFieldProps = {
  id: string;
  label: string;
  value: string;
  options: readonly (string | readonly [value: string, text: string])[];
  onChange: (value: string) => void;
  invalid?: boolean | undefined;
};

export function SelectField({ id, label, value, options, onChange, invalid }: SelectFieldProps) {
  return (
    <div class="field">
      <label for={id}>{label}</label>
      <select
        id={id}
        value={value}
        aria-invalid={invalid ? "true" : undefined}
        onChange={({ currentTarget }) => onChange(currentTarget.value)}
      >
        {options.map((option) => {
          const [key, text] = typeof option === "string" ? [option, option] : option;
          return (
            <option key={key} value={key} selected={key === value}>
              {text}
            </option>
          );
        })}
      </select>
    </div>
  );
}

export function Problem({ children }: { children: ComponentChildren }) {
  return (
    <p class="problem" role="alert">
      {children}
    </p>
  );
}
