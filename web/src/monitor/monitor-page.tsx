/** @file The whole page of a run: progress, curves, sample images and options. */

import type { RunState } from "../../../src/monitor/run-watcher.js";
import { duration } from "../duration.js";
import { ThemeButton } from "../theme-button.js";
import { CurvesView } from "./curves-view.js";
import { numberText } from "./number-text.js";
import { reachable, runState } from "./run-data.js";
import { SamplesView } from "./samples-view.js";

export function MonitorPage() {
  const state = runState.value;
  return (
    <>
      <header class="page-header">
        <h1>
          <img src="/icon.svg" alt="" width="28" height="28" />
          <span>{state?.name ?? "koala watch"}</span>
        </h1>
        <Status />
        <ThemeButton />
      </header>
      <main class="monitor">
        {state && <Summary state={state} />}
        <CurvesView />
        {state && <SamplesView samples={state.samples} />}
        {state && <Options run={state.run} />}
      </main>
    </>
  );
}

const statusTexts: Readonly<Record<RunState["progress"]["status"], string>> = {
  waiting: "waiting for the first step",
  running: "running",
  quiet: "no recent steps",
  finished: "finished",
};

function Status() {
  const status = runState.value?.progress.status;
  return (
    <p class={`status ${reachable.value ? (status ?? "") : "unreachable"}`} role="status">
      {reachable.value ? status && statusTexts[status] : "koala watch does not answer"}
    </p>
  );
}

function Summary({ state: { run, progress, problem } }: { state: RunState }) {
  const models = Object.entries(run.models).map(([role, model]) => `${role} ${model}`);
  return (
    <section class="summary" aria-label="Progress">
      <p class="quiet">{models.join(" · ")}</p>
      <progress max={progress.steps} value={progress.step} aria-label="Steps done" />
      <dl class="run-facts">
        {factsOf(run, progress).map(([name, value]) => (
          <div key={name}>
            <dt>{name}</dt>
            <dd>{value}</dd>
          </div>
        ))}
      </dl>
      {problem && (
        <p class="problem" role="alert">
          {problem}
        </p>
      )}
    </section>
  );
}

type Fact = readonly [name: string, value: string];

function factsOf(run: RunState["run"], progress: RunState["progress"]): Fact[] {
  const { step, steps, last, secondsLeft, status } = progress;
  const running = status === "running";
  const facts: Fact[] = [["step", `${wholeText(step)} of ${wholeText(steps)}`]];
  if (last) {
    facts.push(["epoch", numberText(last.epoch)], ["loss", numberText(last.loss)]);
    facts.push(["images/s", numberText(last.imagesPerSecond)]);
  }
  if (running && secondsLeft !== undefined) facts.push(["time left", duration(secondsLeft)]);
  facts.push(["started", timeText(run.started)]);
  if (last && !running) facts.push(["last step", timeText(last.time)]);
  return facts;
}

const wholeText = (value: number): string => value.toLocaleString("en");

const timeText = (time: string): string =>
  new Date(time).toLocaleString(undefined, { dateStyle: "medium", timeStyle: "short" });

function Options({ run }: { run: RunState["run"] }) {
  const options = { command: run.command, ...run.models, ...run.options };
  return (
    <details class="card">
      <summary>Options</summary>
      <dl class="run-options">
        {Object.entries(options).map(([name, value]) => (
          <div key={name}>
            <dt>{name}</dt>
            <dd>{typeof value === "string" ? value : JSON.stringify(value)}</dd>
          </div>
        ))}
      </dl>
    </details>
  );
}
