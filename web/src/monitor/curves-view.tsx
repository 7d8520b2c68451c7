/** @file The curves of the run, with the choice of smoothing and scale. */

import { type ScaleChoice, scaleChoices } from "../../../src/monitor/axis.js";
import { CurvePanel } from "./curve-panel.js";
import { curvesQuery, panels, scale, smoothing } from "./run-data.js";

export function CurvesView() {
  return (
    <section aria-labelledby="curves-title">
      <div class="section-head">
        <h2 id="curves-title">Curves</h2>
        <label>
          Smoothing
          <input
            type="range"
            min={0}
            max={20}
            step={0.5}
            value={smoothing.value}
            onInput={({ currentTarget }) => (smoothing.value = Number(currentTarget.value))}
          />
          <output>{`${smoothing.value} %`}</output>
        </label>
        <label>
          Scale
          <select
            value={scale.value}
            onChange={({ currentTarget }) => (scale.value = currentTarget.value as ScaleChoice)}
          >
            {scaleChoices.map((choice) => (
              <option key={choice}>{choice}</option>
            ))}
          </select>
        </label>
        <a href={`/curves.svg?${curvesQuery()}`} download="curves.svg">
          Save as SVG
        </a>
      </div>
      {panels.value.length === 0 ? (
        <p class="quiet">No steps yet.</p>
      ) : (
        <div class="panels">
          {panels.value.map((panel) => (
            <CurvePanel key={panel.key} panel={panel} />
          ))}
        </div>
      )}
    </section>
  );
}
