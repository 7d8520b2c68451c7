/** @file The chart of one panel as SVG elements, and the CSS of their classes. Independent of Node and of a document. */

import { position, type Scale, short, ticks } from "./axis.js";
import type { Panel } from "./panels.js";
import { element, type SvgElement } from "./svg.js";

export type Box = { x: number; y: number; width: number; height: number };
/** The area between a panel's axes, in SVG units. */
export type Plot = { left: number; top: number; width: number; height: number };

export type ChartColours = {
  ground: string;
  ink: string;
  quiet: string;
  grid: string;
  line: string;
  validation: string;
};

export function chartCss({ ground, ink, quiet, grid, line, validation }: ChartColours): string {
  return `.ground { fill: ${ground}; }
.curves text { fill: ${quiet}; font: 11px system-ui, sans-serif; }
.curves .name { fill: ${ink}; font-weight: 600; font-size: 13px; }
.curves .title { fill: ${ink}; font-weight: 600; font-size: 16px; }
.curves .now { fill: ${line}; font-size: 12px; }
.curves .checked, .curves .warning { fill: ${validation}; font-size: 12px; }
.curves .grid { stroke: ${grid}; stroke-width: 1; fill: none; }
.curves .raw, .curves .line, .curves .validation { fill: none; stroke-linejoin: round; stroke-linecap: round; }
.curves .raw { stroke: ${line}; stroke-width: 1; stroke-opacity: 0.3; }
.curves .line { stroke: ${line}; stroke-width: 2; }
.curves .validation { stroke: ${validation}; stroke-width: 1.5; }
.curves .dot { fill: ${validation}; }`;
}

const margin = { left: 48, right: 14, top: 30, bottom: 22 };

export function plotOf({ x, y, width, height }: Box): Plot {
  return {
    left: x + margin.left,
    top: y + margin.top,
    width: width - margin.left - margin.right,
    height: height - margin.top - margin.bottom,
  };
}

/** The values are a faint line, their moving average is drawn over it, validation has its own colour. */
export function chart(panel: Panel, box: Box): SvgElement {
  const plot = plotOf(box);
  const { training, validation } = panel;
  const dots = pointsIn(panel, plot, validation).filter(([, y]) => Number.isFinite(y));
  const average = training.map(({ step, smooth }) => ({ step, value: smooth }));
  return element(
    "g",
    { "data-panel": panel.key },
    ...heading(panel, box),
    ...axes(panel, plot),
    ...(training.length > 0 ? [curve("raw", pointsIn(panel, plot, training))] : []),
    ...(training.length > 0 ? [curve("line", pointsIn(panel, plot, average))] : []),
    ...(validation.length > 0 ? [curve("validation", pointsIn(panel, plot, validation))] : []),
    ...dots
      .slice(-60)
      .map(([x, y]) => element("circle", { class: "dot", cx: rounded(x), cy: rounded(y), r: 2.5 })),
  );
}

function heading({ title, training, validation, notFinite }: Panel, { x, y, width }: Box): SvgElement[] {
  const now = training.at(-1)?.smooth;
  const checked = validation.at(-1)?.value;
  const notes: SvgElement[] = [];
  if (notFinite !== undefined)
    notes.push(element("tspan", { class: "warning" }, `not finite at step ${notFinite}`));
  if (checked !== undefined)
    notes.push(element("tspan", { class: "checked" }, `validation ${short(checked)}`));
  if (now !== undefined && Number.isFinite(now)) notes.push(element("tspan", { class: "now" }, short(now)));
  const separated = notes.flatMap((note, i) => (i === 0 ? [note] : [" · ", note]));
  const right = { x: rounded(x + width - margin.right), y: rounded(y + 14), "text-anchor": "end" };
  return [
    element("text", { class: "name", x: rounded(x), y: rounded(y + 14) }, title),
    element("text", { class: "notes", ...right }, ...separated),
  ];
}

function axes(panel: Panel, { left, top, width, height }: Plot): SvgElement[] {
  const bottom = top + height;
  const across = ticks(panel.scale, Math.max(2, height / 40)).flatMap((value) => {
    const y = rounded(bottom - position(panel.scale, value) * height);
    return [
      element("path", { class: "grid", d: `M${rounded(left)} ${y}h${rounded(width)}` }),
      element("text", { x: rounded(left - 6), y, dy: 3.5, "text-anchor": "end" }, short(value)),
    ];
  });
  const steps = stepScale(panel);
  const below = ticks(steps, Math.max(2, width / 80))
    .filter(Number.isInteger)
    .map((step) => {
      const x = rounded(left + position(steps, step) * width);
      return element("text", { x, y: rounded(bottom + 16), "text-anchor": "middle" }, short(step, 6));
    });
  return [...across, ...below];
}

function stepScale({ firstStep, lastStep }: Pick<Panel, "firstStep" | "lastStep">): Scale {
  return { kind: "linear", low: firstStep, high: Math.max(lastStep, firstStep + 1) };
}

type XY = readonly [x: number, y: number];

/** The y of a value that the scale cannot show is NaN. */
export function pointsIn(panel: Panel, plot: Plot, points: readonly { step: number; value: number }[]): XY[] {
  const steps = stepScale(panel);
  return points.map(({ step, value }) => [
    plot.left + position(steps, step) * plot.width,
    plot.top + plot.height * (1 - position(panel.scale, value)),
  ]);
}

/** Interrupted where y is NaN; a point between two gaps is a line of no length, which round caps show as a dot. */
function curve(kind: "raw" | "line" | "validation", points: readonly XY[]): SvgElement {
  let d = "";
  let connected = false;
  points.forEach(([x, y], i) => {
    const drawable = Number.isFinite(y);
    const alone = !connected && !Number.isFinite(points[i + 1]?.[1]);
    if (drawable) d += `${connected ? "L" : "M"}${rounded(x)} ${rounded(y)}${alone ? "h0" : ""}`;
    connected = drawable;
  });
  return element("path", { class: kind, d });
}

/** To a tenth of a unit, which is finer than a screen shows. */
const rounded = (value: number): number => Math.round(value * 10) / 10;
