/** @file One chart. The pointer or the arrow keys read values, in all charts near the same step. */

import { signal } from "@preact/signals";
import { h, type VNode } from "preact";
import { useMemo, useRef } from "preact/hooks";
import { chart, plotOf, pointsIn } from "../../../src/monitor/chart.js";
import type { Panel, Point } from "../../../src/monitor/panels.js";
import type { SvgElement } from "../../../src/monitor/svg.js";
import { numberText } from "./number-text.js";

const box = { x: 0, y: 0, width: 380, height: 210 };
const plot = plotOf(box);

/** The step at which values are read. */
const pointedStep = signal<number | undefined>(undefined);

export function CurvePanel({ panel }: { panel: Panel }) {
  const svg = useRef<SVGSVGElement>(null);
  const drawn = useMemo(() => rendered(chart(panel, box)), [panel]);
  const points = pointsOf(panel);
  const point = pointedStep.value === undefined ? undefined : points[nearest(points, pointedStep.value)];
  const onPointerMove = ({ clientX }: PointerEvent) => {
    const { left, width } = svg.current!.getBoundingClientRect();
    const share = (((clientX - left) / width) * box.width - plot.left) / plot.width;
    pointedStep.value =
      panel.firstStep + Math.min(1, Math.max(0, share)) * (panel.lastStep - panel.firstStep);
  };
  const stopReading = () => (pointedStep.value = undefined);
  return (
    // biome-ignore lint/a11y/useSemanticElements: a group of chart and value, not of form fields
    <div
      class={point ? "panel reading" : "panel"}
      role="group"
      // biome-ignore lint/a11y/noNoninteractiveTabindex: the arrow keys read values
      tabIndex={0}
      aria-label={`${panel.title}. Left and right arrow keys read values.`}
      onPointerMove={onPointerMove}
      onPointerLeave={stopReading}
      onBlur={stopReading}
      onKeyDown={(event) => onKey(event, points)}
    >
      <svg ref={svg} class="curves" viewBox={`0 0 ${box.width} ${box.height}`} aria-hidden="true">
        {drawn}
        {point && <Marker panel={panel} point={point} />}
      </svg>
      {point && (
        <p class="readout" role="status">
          {readout(point)}
        </p>
      )}
    </div>
  );
}

const rendered = ({ tag, attributes, children }: SvgElement): VNode =>
  h(tag, attributes, ...children.map((child) => (typeof child === "string" ? child : rendered(child))));

function Marker({ panel, point: { step, smooth } }: { panel: Panel; point: Point }) {
  const [x, y] = pointsIn(panel, plot, [{ step, value: smooth }])[0]!;
  return (
    <>
      <line class="cross" x1={x} x2={x} y1={plot.top} y2={plot.top + plot.height} />
      {Number.isFinite(y) && <circle class="mark" cx={x} cy={y} r={4} />}
    </>
  );
}

function readout({ step, value, smooth }: Point): string {
  const mean = smooth === value ? "" : `, mean ${numberText(smooth)}`;
  return `step ${step.toLocaleString("en")}: ${numberText(value)}${mean}`;
}

/** The points that can be read: the training series, or the validation series of a panel without one. */
const pointsOf = ({ training, validation }: Panel): readonly Point[] =>
  training.length > 0 ? training : validation.map(({ step, value }) => ({ step, value, smooth: value }));

function nearest(points: readonly Point[], step: number): number {
  let best = 0;
  points.forEach((point, i) => {
    if (Math.abs(point.step - step) < Math.abs(points[best]!.step - step)) best = i;
  });
  return best;
}

/** The first arrow key reads the last point. */
function onKey(event: KeyboardEvent, points: readonly Point[]): void {
  if (event.key === "Escape") pointedStep.value = undefined;
  const at = pointedStep.value === undefined ? points.length : nearest(points, pointedStep.value);
  const targets: Readonly<Record<string, number>> = {
    ArrowLeft: at - 1,
    ArrowRight: at + 1,
    Home: 0,
    End: points.length - 1,
  };
  const target = targets[event.key];
  if (target === undefined || points.length === 0) return;
  event.preventDefault();
  pointedStep.value = points[Math.min(points.length - 1, Math.max(0, target))]!.step;
}
