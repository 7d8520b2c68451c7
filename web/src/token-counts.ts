/** @file Token counts of the prompts, fetched from the server shortly after each change. */

import { effect, signal } from "@preact/signals";
import type { TokensRequest } from "../../src/jobs/schemas.js";
import type { TokenCount } from "../../src/text/token-count.js";
import { backend } from "./chosen-backend.js";
import { readingFields } from "./prompt-reading.js";
import { model, negativePrompt, prompt } from "./settings.js";

/** A count with the text that was counted. */
export type CountedText = TokenCount & { text: string };

/** The latest counts; undefined if the server did not answer. */
export const tokenCounts = signal<{ prompt: CountedText; negative: CountedText } | undefined>(undefined);

const pauseMs = 150;

/** Starts counting on every change. */
export function countTokensOnChange(): void {
  effect(() => {
    const [id, texts] = [model.value?.id, [prompt.value, negativePrompt.value] as const];
    const { promptSyntax, longPrompts = "chunks" } = readingFields();
    if (id === undefined) return;
    const controller = new AbortController();
    const timer = setTimeout(
      () =>
        void count(
          { model: id, ...(promptSyntax && { promptSyntax }), longPrompts },
          texts,
          controller.signal,
        ),
      pauseMs,
    );
    return () => {
      clearTimeout(timer);
      controller.abort();
    };
  });
}

async function count(
  reading: Omit<TokensRequest, "texts">,
  texts: readonly [string, string],
  signal: AbortSignal,
): Promise<void> {
  try {
    const [ofPrompt, ofNegative] = await backend.countTokens({ ...reading, texts: [...texts] }, signal);
    tokenCounts.value = {
      prompt: { text: texts[0], ...ofPrompt! },
      negative: { text: texts[1], ...ofNegative! },
    };
  } catch {
    // Not worth a message: a problem with the server is reported when something is generated.
    if (!signal.aborted) tokenCounts.value = undefined;
  }
}
