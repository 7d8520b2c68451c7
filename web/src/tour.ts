/** @file The tour's runs: one prompt from two neighbouring seeds, with all that the server tells of them. */

import { computed, signal } from "@preact/signals";
import type { StepPredictions, WordMaps } from "../../src/jobs/schemas.js";
import type { TokenCount } from "../../src/text/token-count.js";
import { GenerationCancelled } from "./backend.js";
import { backend } from "./chosen-backend.js";
import { examplesOf } from "./examples.js";
import { model } from "./settings.js";

/** One image of the tour. */
type TourRun = { seed: string; url: string; wordMaps: WordMaps; steps: StepPredictions };

export type TourResult = {
  guidanceScale: number;
  count: TokenCount;
  first: TourRun;
  second: TourRun;
};

type TourState =
  | { state: "new" }
  | { state: "running"; step: number; total: number }
  | { state: "failed"; message: string }
  | { state: "ready"; result: TourResult };

export const tour = signal<TourState>({ state: "new" });
const typed = signal<string | undefined>(undefined);
/** What the visitor typed, at first an example. */
export const tourPrompt = computed(() => typed.value ?? examplesOf(model.value?.words)[0]!);
export const typeTourPrompt = (text: string): void => void (typed.value = text);
export const tourSeed = signal("7");

let running: AbortController | undefined;
export const stopTour = (): void => running?.abort();

/** Generates both images; the server may do so at once. */
export async function runTour(): Promise<void> {
  stopTour();
  if (tour.value.state === "ready") {
    const { first, second } = tour.value.result;
    for (const { url } of [first, second]) URL.revokeObjectURL(url);
  }
  running = new AbortController();
  const { signal } = running;
  const prompt = tourPrompt.value;
  const named = model.value && { model: model.value.id };
  const next = String(BigInt.asUintN(64, BigInt(tourSeed.value) + 1n));
  const done = [0, 0];
  tour.value = { state: "running", step: 0, total: 0 };
  const run = async (seed: string, at: number): Promise<TourRun & { guidanceScale: number }> => {
    const progress = (step: number, total: number) => {
      done[at] = step;
      if (!signal.aborted) tour.value = { state: "running", step: done[0]! + done[1]!, total: 2 * total };
    };
    const { file, ...found } = await backend.explain({ ...named, prompt, seed }, { signal, progress });
    return { seed, url: URL.createObjectURL(file), ...found };
  };
  try {
    const [first, second] = await Promise.all([run(tourSeed.value, 0), run(next, 1)]);
    const [count] = await backend.countTokens({ ...named, texts: [prompt] }, signal);
    tour.value = {
      state: "ready",
      result: { guidanceScale: first.guidanceScale, count: count!, first, second },
    };
  } catch (error) {
    running.abort();
    if (error instanceof GenerationCancelled) tour.value = { state: "new" };
    else tour.value = { state: "failed", message: error instanceof Error ? error.message : String(error) };
  }
}
