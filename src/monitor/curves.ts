/** @file A run's curves as SVG: small multiples that stand alone, or one panel for the page. Pure. */

import { position, short, ticks } from "./axis.js";
import type { Metrics } from "./metrics.js";
import { type Panel, type PanelOptions, panels } from "./panels.js";

/** Where a panel's axes lie within its box, in SVG units. */
export type Plot = { left: number; top: number; width: number; height: number };
export type Box = { x: number; y: number; width: number; height: number };

export type CurvesOptions = PanelOptions & { width?: number; height?: number; title?: string };

type Colours = { ground: string; ink: string; quiet: string; grid: string; line: string; validation: string };

const light: Colours = {
  ground: "#ffffff",
  ink: "#1c2024",
  quiet: "#626a73",
  grid: "#e4e7eb",
  line: "#2563b8",
  validation: "#b4540a",
};
const dark: Colours = {
  ground: "#15181c",
  ink: "#e8eaed",
  quiet: "#9aa2ab",
  grid: "#2b3036",
  line: "#6aa9f4",
  validation: "#f0a35c",
};

/** CSS of the charts' classes, for light and dark; the page uses the same rules. */
export const curveStyle = `${rules(light)}\n@media (prefers-color-scheme: dark) {\n${rules(dark)}\n}`;

function rules({ ground, ink, quiet, grid, line, validation }: Colours): string {
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

const gap = 24;
const margin = { left: 48, right: 14, top: 30, bottom: 22 };

/**
 * A standalone SVG of every loss, the gradient norm, the rate and the speed over the steps; `metrics` in order
 * of step. The raw values are faint, their moving average is drawn over them, validation has its own colour.
 */
export function curvesSvg(metrics: readonly Metrics[], options: CurvesOptions = {}): string {
  const shown = panels(metrics, options);
  const { width = 1200, title = "" } = options;
  const columns = Math.max(1, Math.min(shown.length, Math.round(width / 400)));
  const rows = Math.max(1, Math.ceil(shown.length / columns));
  const top = title ? 44 : gap / 2;
  const { height = top + rows * (200 + gap) } = options;
  const panelWidth = (width - gap * (columns + 1)) / columns;
  const panelHeight = (height - top) / rows - gap;
  const drawn = shown.map((panel, i) => {
    const x = gap + (i % columns) * (panelWidth + gap);
    const y = top + Math.floor(i / columns) * (panelHeight + gap);
    return panelGroup(panel, { x, y, width: panelWidth, height: panelHeight });
  });
  if (shown.length === 0) drawn.push(`<text x="${gap}" y="${top + gap}">no steps yet</text>`);
  const heading = title ? `<title>${escaped(title)}</title>` : "";
  const size = `width="${width}" height="${height}" viewBox="0 0 ${width} ${height}"`;
  return `<svg xmlns="http://www.w3.org/2000/svg" class="curves" ${size} role="img">${heading}
<style>
${curveStyle}
</style>
<rect class="ground" width="${width}" height="${height}"/>
${title ? `<text class="title" x="${gap}" y="28">${escaped(title)}</text>\n` : ""}${drawn.join("\n")}
</svg>
`;
}

/** One panel as an SVG of its own without style: the page that holds it must include `curveStyle`. */
export function panelSvg(panel: Panel, { width, height }: { width: number; height: number }): string {
  const body = panelGroup(panel, { x: 0, y: 0, width, height });
  return `<svg xmlns="http://www.w3.org/2000/svg" class="curves" viewBox="0 0 ${width} ${height}">${body}</svg>`;
}

/** The area between a panel's axes. */
export function plotOf({ x, y, width, height }: Box): Plot {
  return {
    left: x + margin.left,
    top: y + margin.top,
    width: width - margin.left - margin.right,
    height: height - margin.top - margin.bottom,
  };
}

function panelGroup(panel: Panel, box: Box): string {
  const plot = plotOf(box);
  const { training, validation } = panel;
  const dots = curvePoints(panel, plot, validation).filter(([, y]) => Number.isFinite(y));
  return [
    `<g data-panel="${escaped(panel.key)}">`,
    heading(panel, box),
    axes(panel, plot),
    training.length > 0 ? curve("raw", curvePoints(panel, plot, training)) : "",
    training.length > 0 ? curve("line", curvePoints(panel, plot, training.map(smoothPoint))) : "",
    validation.length > 0 ? curve("validation", curvePoints(panel, plot, validation)) : "",
    ...dots.slice(-60).map(([x, y]) => `<circle class="dot" cx="${fixed(x)}" cy="${fixed(y)}" r="2.5"/>`),
    "</g>",
  ].join("");
}

const smoothPoint = ({ step, smooth }: { step: number; smooth: number }) => ({ step, value: smooth });

function heading({ title, training, validation, notFinite }: Panel, { x, y, width }: Box): string {
  const now = training.at(-1)?.smooth;
  const checked = validation.at(-1)?.value;
  const notes: string[] = [];
  if (notFinite !== undefined) notes.push(`<tspan class="warning">not finite at step ${notFinite}</tspan>`);
  if (checked !== undefined) notes.push(`<tspan class="checked">validation ${short(checked)}</tspan>`);
  if (now !== undefined && Number.isFinite(now)) notes.push(`<tspan class="now">${short(now)}</tspan>`);
  const right = x + width - margin.right;
  return (
    `<text class="name" x="${fixed(x)}" y="${fixed(y + 14)}">${escaped(title)}</text>` +
    `<text class="notes" x="${fixed(right)}" y="${fixed(y + 14)}" text-anchor="end">${notes.join(" · ")}</text>`
  );
}

function axes({ scale, firstStep, lastStep }: Panel, { left, top, width, height }: Plot): string {
  const bottom = top + height;
  const across = ticks(scale, Math.max(2, height / 40)).map((value) => {
    const y = fixed(bottom - position(scale, value) * height);
    const label = `<text x="${fixed(left - 6)}" y="${y}" dy="3.5" text-anchor="end">${short(value)}</text>`;
    return `<path class="grid" d="M${fixed(left)} ${y}h${fixed(width)}"/>${label}`;
  });
  const steps = stepScale({ firstStep, lastStep });
  const below = ticks(steps, Math.max(2, width / 80))
    .filter(Number.isInteger)
    .map((step) => {
      const x = fixed(left + position(steps, step) * width);
      return `<text x="${x}" y="${fixed(bottom + 16)}" text-anchor="middle">${short(step, 6)}</text>`;
    });
  return [...across, ...below].join("");
}

function stepScale({ firstStep, lastStep }: { firstStep: number; lastStep: number }) {
  return { kind: "linear", low: firstStep, high: Math.max(lastStep, firstStep + 1) } as const;
}

type XY = readonly [x: number, y: number];

function curvePoints(panel: Panel, plot: Plot, points: readonly { step: number; value: number }[]): XY[] {
  const steps = stepScale(panel);
  return points.map(({ step, value }) => [
    plot.left + position(steps, step) * plot.width,
    plot.top + plot.height * (1 - position(panel.scale, value)),
  ]);
}

/** A gap where a value has no place; a point between two gaps becomes a dot (a line of no length, round caps). */
function curve(kind: "raw" | "line" | "validation", points: readonly XY[]): string {
  let d = "";
  let pen = false;
  points.forEach(([x, y], i) => {
    const drawable = Number.isFinite(y);
    const alone = !pen && !Number.isFinite(points[i + 1]?.[1]);
    if (drawable) d += `${pen ? "L" : "M"}${fixed(x)} ${fixed(y)}${alone ? "h0" : ""}`;
    pen = drawable;
  });
  return `<path class="${kind}" d="${d}"/>`;
}

/** One tenth of a unit is finer than any screen shows. */
const fixed = (value: number): string => String(Math.round(value * 10) / 10);

function escaped(text: string): string {
  const names: Record<string, string> = {
    "&": "&amp;",
    "<": "&lt;",
    ">": "&gt;",
    '"': "&quot;",
    "'": "&#39;",
  };
  // These characters have no place in XML, escaped or not.
  return text.replace(/[\p{Cc}\uFFFE\uFFFF]/gu, " ").replace(/[&<>"']/g, (c) => names[c]!);
}
