/** @file A `fetch` for the Hub that retries, and throws for every response without status 2xx. */

import { setTimeout as sleep } from "node:timers/promises";
import { Cancelled } from "../errors.js";
import type { HubModel } from "./name.js";
import { responseError, unreachableReason } from "./response-errors.js";
import type { HubSettings } from "./settings.js";
import { HubUnreachable } from "./unreachable.js";

export type Fetch = typeof fetch;

/** Milliseconds: `pause` before the first retry, doubled each time; `stall` without a response or a byte. */
export type RetryOptions = { attempts: number; pause: number; stall: number };

type Options = {
  signal?: AbortSignal | undefined;
  onNote?: ((note: string) => void) | undefined;
  retry: RetryOptions;
  fetch: Fetch;
};

/** Retries after network errors, 429 and 5xx; throws Cancelled, HubUnreachable or the ModelError of `refusal`. */
export function requester(model: HubModel, settings: HubSettings, options: Options): Fetch {
  const { signal, retry, onNote, fetch } = options;
  return async (input, init = {}) => {
    const headers = headersFor(String(input), init, settings);
    const signals = [signal, init.signal].filter((s) => s != null);
    for (let attempt = 1; ; attempt++) {
      const last = attempt >= retry.attempts;
      const ask = (limited: AbortSignal) => fetch(String(input), { ...init, headers, signal: limited });
      const { answer, error } = await firstResponse(ask, signals, retry.stall);
      if (signal?.aborted) throw new Cancelled("the download");
      let wait = retry.pause * 2 ** (attempt - 1);
      if (answer) {
        if (answer.ok) return answer;
        wait = retryAfter(answer) ?? wait;
        if (last || !transientStatuses.includes(answer.status) || wait > longestWait)
          throw await responseError(answer, model, settings);
        await answer.body?.cancel();
        if (answer.status === 429) onNote?.(`the Hub limits requests: waiting ${Math.ceil(wait / 1000)} s`);
      } else if (last) {
        throw new HubUnreachable(model.id, unreachableReason(settings, error));
      }
      await pause(wait, signal);
    }
  };
}

const transientStatuses: readonly number[] = [408, 429, 500, 502, 503, 504];
const longestWait = 600_000;

/** Waits; Cancelled once the signal fires. */
export async function pause(milliseconds: number, signal: AbortSignal | undefined): Promise<void> {
  await sleep(milliseconds, undefined, signal && { signal }).catch(() => {
    throw new Cancelled("the download");
  });
}

function headersFor(url: string, init: RequestInit, { endpoint, token }: HubSettings): Headers {
  const headers = new Headers(init.headers);
  // A range of a compressed response is not that range of the file.
  headers.set("accept-encoding", "identity");
  headers.set("user-agent", "koala-diffusion");
  // A next page, or a file's final URL, may be on another server.
  if (token && new URL(url).origin === new URL(endpoint).origin)
    headers.set("authorization", `Bearer ${token}`);
  return headers;
}

type FirstResponse = { answer: Response; error?: never } | { answer?: never; error: unknown };

/** The response once its headers arrived, or the error; the caller waits for its body. */
async function firstResponse(
  ask: (signal: AbortSignal) => Promise<Response>,
  signals: AbortSignal[],
  limit: number,
): Promise<FirstResponse> {
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

/** The milliseconds of Retry-After: seconds or a date. */
function retryAfter(response: Response): number | undefined {
  const value = response.headers.get("retry-after");
  if (!value) return undefined;
  const wait = /^\d+(\.\d+)?$/.test(value) ? 1000 * Number(value) : Date.parse(value) - Date.now();
  return Number.isFinite(wait) ? Math.max(0, wait) : undefined;
}
