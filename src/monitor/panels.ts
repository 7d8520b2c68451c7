/** @file The charts of a run: one panel for each loss, the gradient norm, the learning rate and the speed. */

import { type Scale, type ScaleChoice, scaleFor } from "./axis.js";
import { isValidation, type Metrics, type StepMetrics } from "./metrics.js";
import { extremes, factorFor, smoothed } from "./series.js";

export type Point = { step: number; value: number; smooth: number };

/** One chart: a training series, and the same quantity on the validation data where it was measured. */
export type Panel = {
  key: string;
  title: string;
  scale: Scale;
  firstStep: number;
  lastStep: number;
  training: Point[];
  validation: { step: number; value: number }[];
  /** The first step whose value is NaN or infinite. */
  notFinite: number | undefined;
};

export type PanelOptions = {
  /** How far the moving average looks back, as a share of the steps. */
  window?: number;
  scale?: ScaleChoice;
  /** Maximum number of points in a series. */
  most?: number;
};

type Key = Exclude<keyof StepMetrics, "step" | "epoch" | "time" | "secondsPerStep">;
/** `exact` values follow a schedule instead of being measured, and are not smoothed. */
type Chart = { key: Key; title: string; fromZero?: boolean; exact?: boolean; linear?: boolean };

const charts: readonly Chart[] = [
  { key: "loss", title: "loss" },
  { key: "task", title: "task loss" },
  { key: "out", title: "output loss" },
  { key: "feat", title: "feature loss" },
  { key: "solver", title: "solver loss" },
  // Decibels are already logarithmic.
  { key: "psnr", title: "PSNR, dB", linear: true },
  { key: "gradNorm", title: "gradient norm" },
  { key: "lr", title: "learning rate", fromZero: true, exact: true },
  { key: "imagesPerSecond", title: "images per second", fromZero: true },
];

/** The panels for which these rows, in order of step, have values. */
export function panels(metrics: readonly Metrics[], options: PanelOptions = {}): Panel[] {
  const steps = metrics.filter((row): row is StepMetrics => !isValidation(row));
  const validations = metrics.filter(isValidation);
  const span = { firstStep: metrics[0]?.step ?? 0, lastStep: metrics.at(-1)?.step ?? 1 };
  const known = charts.map((chart) => ({
    ...chart,
    training: column(steps, chart.key),
    validation: measured(validations, chart.key),
  }));
  const others = [...new Set(validations.flatMap((row) => Object.keys(row.validation)))]
    .filter((key) => !charts.some((chart) => chart.key === key))
    .map((key) => ({
      key: `validation ${key}`,
      title: `validation ${key}`,
      training: { steps: [], values: [] },
      validation: measured(validations, key),
    }));
  return [...known, ...others]
    .filter(({ training, validation }) => training.values.length + validation.length > 0)
    .map((chart) => panel({ ...span, ...chart }, options));
}

/** Plain arrays for speed: a long run has hundreds of thousands of steps and is drawn every second. */
type Column = { steps: number[]; values: number[] };

function column(rows: readonly StepMetrics[], key: Key): Column {
  const found: Column = { steps: [], values: [] };
  for (const row of rows) {
    const value = row[key];
    if (value === undefined) continue;
    found.steps.push(row.step);
    found.values.push(value);
  }
  return found;
}

type Measured = { step: number; value: number };

function measured(rows: { step: number; validation: Record<string, number> }[], key: string): Measured[] {
  return rows.flatMap(({ step, validation }) =>
    Object.hasOwn(validation, key) ? [{ step, value: validation[key]! }] : [],
  );
}

function panel(
  chart: Pick<Panel, "key" | "title" | "firstStep" | "lastStep"> &
    Pick<Chart, "fromZero" | "exact" | "linear"> & { training: Column; validation: Measured[] },
  { window = 0.025, scale = "auto", most = 400 }: PanelOptions,
): Panel {
  const { key, title, firstStep, lastStep, training, validation, fromZero = false, exact = false } = chart;
  const { steps, values } = training;
  const smooth = smoothed(values, exact ? 0 : factorFor(values.length * window));
  const thin = extremes(values, most).map((i) => ({
    step: steps[i]!,
    value: values[i]!,
    smooth: smooth[i]!,
  }));
  const checked = validation.map(({ value }) => value);
  const broken = (value: number) => !Number.isFinite(value);
  return {
    key,
    title,
    firstStep,
    lastStep,
    scale: scaleFor([values, checked], fromZero || chart.linear ? "linear" : scale, { fromZero }),
    training: thin,
    validation,
    notFinite: steps[values.findIndex(broken)] ?? validation.find(({ value }) => broken(value))?.step,
  };
}
