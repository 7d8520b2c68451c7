/** @file The curves of a run as one SVG file that needs nothing else. */

import { type ChartColours, chart, chartCss } from "./chart.js";
import type { Metrics } from "./metrics.js";
import { type PanelOptions, panels } from "./panels.js";
import { element, svgText } from "./svg.js";

export type CurvesOptions = PanelOptions & { width?: number; height?: number; title?: string };

const light: ChartColours = {
  ground: "#ffffff",
  ink: "#1c2024",
  quiet: "#626a73",
  grid: "#e4e7eb",
  line: "#2563b8",
  validation: "#b4540a",
};
const dark: ChartColours = {
  ground: "#15181c",
  ink: "#e8eaed",
  quiet: "#9aa2ab",
  grid: "#2b3036",
  line: "#6aa9f4",
  validation: "#f0a35c",
};
const css = `\n${chartCss(light)}\n@media (prefers-color-scheme: dark) {\n${chartCss(dark)}\n}\n`;

const gap = 24;

/** Charts of the losses, the gradient norm, the learning rate and the speed; `metrics` in order of step. */
export function curvesSvg(metrics: readonly Metrics[], options: CurvesOptions = {}): string {
  const shown = panels(metrics, options);
  const { width = 1200, title = "" } = options;
  const columns = Math.max(1, Math.min(shown.length, Math.round(width / 400)));
  const rows = Math.max(1, Math.ceil(shown.length / columns));
  const top = title ? 44 : gap / 2;
  const { height = top + rows * (200 + gap) } = options;
  const panelWidth = (width - gap * (columns + 1)) / columns;
  const panelHeight = (height - top) / rows - gap;
  const charts = shown.map((panel, i) => {
    const x = gap + (i % columns) * (panelWidth + gap);
    const y = top + Math.floor(i / columns) * (panelHeight + gap);
    return chart(panel, { x, y, width: panelWidth, height: panelHeight });
  });
  const root = { xmlns: "http://www.w3.org/2000/svg", class: "curves", width, height, role: "img" };
  const svg = element(
    "svg",
    { ...root, viewBox: `0 0 ${width} ${height}` },
    ...(title ? [element("title", {}, title)] : []),
    element("style", {}, css),
    element("rect", { class: "ground", width, height }),
    ...(title ? [element("text", { class: "title", x: gap, y: 28 }, title)] : []),
    ...(shown.length > 0 ? charts : [element("text", { x: gap, y: top + gap }, "no steps yet")]),
  );
  return `${svgText(svg)}\n`;
}
