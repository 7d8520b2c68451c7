/** @file A `fetch` for the Hub that gives only good answers: it waits, asks again, and explains every refusal. */

import { setTimeout as sleep } from "node:timers/promises";
import { Cancelled } from "../errors.js";
import type { HubModel } from "./id.js";
import { HubUnreachable, refusal, whyUnreachable } from "./refusal.js";
import type { HubSettings } from "./settings.js";

export type Fetch = typeof fetch;

/** Milliseconds: `pause` before the first repetition, doubled each time; `stall` without an answer or a byte. */
export type Patience = { attempts: number; pause: number; stall: number };

type Options = {
  signal?: AbortSignal | undefined;
  onNote?: ((note: string) => void) | undefined;
  patience: Patience;
  fetch: Fetch;
};

/** Asks again after network errors, 429 and 5xx; throws Cancelled, HubUnreachable or the ModelError of `refusal`. */
export function requester(model: HubModel, settings: HubSettings, options: Options): Fetch {
  const { signal, patience, onNote, fetch } = options;
  return async (input, init = {}) => {
    const headers = headersFor(String(input), init, settings);
    const signals = [signal, init.signal].filter((s) => s != null);
    for (let attempt = 1; ; attempt++) {
      const last = attempt >= patience.attempts;
      const ask = (limited: AbortSignal) => fetch(String(input), { ...init, headers, signal: limited });
      const { answer, error } = await begin(ask, signals, patience.stall);
      if (signal?.aborted) throw new Cancelled("the download");
      let wait = patience.pause * 2 ** (attempt - 1);
      if (answer) {
        if (answer.ok) return answer;
        wait = retryAfter(answer) ?? wait;
        if (last || !passing.includes(answer.status) || wait > longestWait)
          throw await refusal(answer, model, settings);
        await answer.body?.cancel();
        if (answer.status === 429) onNote?.(`the Hub asks to wait ${Math.ceil(wait / 1000)} s`);
      } else if (last) {
        throw new HubUnreachable(model.id, whyUnreachable(settings, error));
      }
      await pause(wait, signal);
    }
  };
}

const passing: readonly number[] = [408, 429, 500, 502, 503, 504];
const longestWait = 600_000;

/** Waits; Cancelled once the signal fires. */
export async function pause(milliseconds: number, signal: AbortSignal | undefined): Promise<void> {
  await sleep(milliseconds, undefined, signal && { signal }).catch(() => {
    throw new Cancelled("the download");
  });
}

function headersFor(url: string, init: RequestInit, { endpoint, token }: HubSettings): Headers {
  const headers = new Headers(init.headers);
  // Compressed, a part of a file would not be the part that was asked for.
  headers.set("accept-encoding", "identity");
  headers.set("user-agent", "koala-diffusion");
  // A next page, or a file's real address, may be another's server.
  if (token && new URL(url).origin === new URL(endpoint).origin)
    headers.set("authorization", `Bearer ${token}`);
  return headers;
}

type Begun = { answer: Response; error?: never } | { answer?: never; error: unknown };

/** The answer once its headers are there, its body being another's to wait for; or what went wrong. */
async function begin(
  ask: (signal: AbortSignal) => Promise<Response>,
  signals: AbortSignal[],
  limit: number,
): Promise<Begun> {
  const late = new AbortController();
  const timer = setTimeout(() => late.abort(new Error(`no answer in ${limit / 1000} s`)), limit);
  try {
    return { answer: await ask(AbortSignal.any([...signals, late.signal])) };
  } catch (error) {
    return { error };
  } finally {
    clearTimeout(timer);
  }
}

/** Milliseconds that the server asks to wait: seconds or a date. */
function retryAfter(response: Response): number | undefined {
  const value = response.headers.get("retry-after");
  if (!value) return undefined;
  const wait = /^\d+(\.\d+)?$/.test(value) ? 1000 * Number(value) : Date.parse(value) - Date.now();
  return Number.isFinite(wait) ? Math.max(0, wait) : undefined;
}
