/** @file Data of the watched run as signals, fetched again whenever the server reports a change. */

import { effect, signal } from "@preact/signals";
import type { ScaleChoice } from "../../../src/monitor/axis.js";
import type { Panel } from "../../../src/monitor/panels.js";
import type { RunState } from "../../../src/monitor/run-watcher.js";

export const runState = signal<RunState | undefined>(undefined);
export const panels = signal<readonly Panel[]>([]);
export const reachable = signal(true);
/** How far the moving average looks back, in percent of the steps. */
export const smoothing = signal(2.5);
export const scale = signal<ScaleChoice>("auto");

const refreshMs = 1000;
const curvesMs = 40;
const idleMs = 30_000;

/** Keeps the data current from now on. */
export function watchRun(): void {
  const refresh = throttled(async () => {
    runState.value = (await fetched("/state.json").then((response) => response.json())) as RunState;
    await fetchCurves();
    reachable.value = true;
  }, refreshMs);
  const events = new EventSource("/events");
  for (const name of ["open", "metrics", "samples", "problem"]) events.addEventListener(name, refresh);
  events.addEventListener("error", () => (reachable.value = false));
  // A run that stops writing causes no event, but its status changes.
  setInterval(refresh, idleMs);
  const refreshCurves = throttled(fetchCurves, curvesMs);
  effect(() => {
    curvesQuery();
    refreshCurves();
  });
}

/** Shows the progress in the title, which is visible while another tab is open. */
export function showProgressInTitle(): void {
  effect(() => {
    if (!runState.value) return;
    const { name, progress } = runState.value;
    document.title = `${Math.floor((100 * progress.step) / progress.steps)} % ${name}`;
  });
}

export const curvesQuery = (): string => `window=${smoothing.value}&scale=${scale.value}`;

let lastRequest = 0;

async function fetchCurves(): Promise<void> {
  const request = ++lastRequest;
  const text = await (await fetched(`/curves.json?${curvesQuery()}`)).text();
  // JSON has no NaN: the server's values that are not finite arrive as null.
  const drawn = JSON.parse(text, (_, value: unknown) => (value === null ? Number.NaN : value)) as Panel[];
  // An earlier request may be answered after a later one.
  if (request === lastRequest) panels.value = drawn;
}

async function fetched(path: string): Promise<Response> {
  const response = await fetch(path);
  if (!response.ok) throw new Error(await response.text());
  return response;
}

/** Runs `work` at most once per pause; calls meanwhile are answered by one more run after it. */
function throttled(work: () => Promise<void>, pauseMs: number): () => void {
  let busy = false;
  let again = false;
  const run = async () => {
    again = busy;
    if (busy) return;
    busy = true;
    await work().catch(() => (reachable.value = false));
    setTimeout(() => {
      busy = false;
      if (again) void run();
    }, pauseMs);
  };
  return () => void run();
}
