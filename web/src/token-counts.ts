/** @file How many tokens the prompts are, asked of the server a moment after each change. */

import { effect, signal } from "@preact/signals";
import type { TokenCount } from "../../src/text/token-count.js";
import { model, negativePrompt, prompt } from "./settings.js";
import { backend } from "./this-server.js";

/** The text that was counted, and what it is of the model's limit. */
export type CountedText = TokenCount & { text: string };

/** The latest counts; undefined where the server does not say. */
export const tokenCounts = signal<{ prompt: CountedText; negative: CountedText } | undefined>(undefined);

const pauseMs = 150;

/** Counts from now on, once the model is known. */
export function watchTokens(): void {
  effect(() => {
    const [id, texts] = [model.value?.id, [prompt.value, negativePrompt.value] as const];
    if (id === undefined) return;
    const controller = new AbortController();
    const timer = setTimeout(() => void count(id, texts, controller.signal), pauseMs);
    return () => {
      clearTimeout(timer);
      controller.abort();
    };
  });
}

async function count(id: string, texts: readonly [string, string], signal: AbortSignal): Promise<void> {
  try {
    const [ofPrompt, ofNegative] = await backend.countTokens(id, texts, signal);
    tokenCounts.value = {
      prompt: { text: texts[0], ...ofPrompt! },
      negative: { text: texts[1], ...ofNegative! },
    };
  } catch {
    // A count is a help, and what is wrong with the server is said where something is asked of it.
    if (!signal.aborted) tokenCounts.value = undefined;
  }
}
