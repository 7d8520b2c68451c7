/** @file Client of the Hub's HTTP API in a browser: the commit of a revision, its files, and ranges of their bytes. */

import { Cancelled, ModelError } from "../errors.js";
import type { HubFile } from "./client.js";
import type { HubModel } from "./name.js";
import { HubUnreachable } from "./unreachable.js";

export type HubAccess = {
  /** Without a slash at the end. */
  endpoint: string;
  token: string | undefined;
  signal: AbortSignal;
};

const attempts = 5;
/** Milliseconds: before the first retry, doubled each time; and without a byte. */
const [firstPause, stall] = [500, 30_000];
const transient: readonly number[] = [408, 429, 500, 502, 503, 504];

/** The current commit of a revision. ModelError, Cancelled. */
export async function commitOf({ id, revision }: HubModel, access: HubAccess): Promise<string> {
  const at = `${access.endpoint}/api/models/${id}/revision/${encodeURIComponent(revision)}`;
  const { sha } = (await (await answerOf(id, at, access)).json()) as { sha: string };
  return sha;
}

type Entry = { type: string; path: string; size: number; oid: string; lfs?: { oid: string; size: number } };

/** All files of a commit. ModelError, Cancelled. */
export async function filesOf({ id }: HubModel, commit: string, access: HubAccess): Promise<HubFile[]> {
  const files: HubFile[] = [];
  let at: string | undefined = `${access.endpoint}/api/models/${id}/tree/${commit}?recursive=true`;
  while (at !== undefined) {
    const answer: Response = await answerOf(id, at, access);
    for (const { type, path, size, oid, lfs } of (await answer.json()) as Entry[])
      if (type === "file") files.push({ path, size: lfs?.size ?? size, etag: lfs?.oid ?? oid });
    at = /<([^>]+)>;\s*rel="next"/.exec(answer.headers.get("link") ?? "")?.[1];
  }
  return files;
}

async function answerOf(id: string, url: string, access: HubAccess): Promise<Response> {
  return retried(id, access.signal, () => ask(id, url, access, {}), { most: 2 });
}

/** The answer, if it is a good one. */
async function ask(id: string, url: string, { endpoint, token, signal }: HubAccess, init: RequestInit) {
  const headers = new Headers(init.headers);
  // A next page may be on another server; a file's own server is one that the browser is redirected to.
  if (token && new URL(url).origin === new URL(endpoint).origin)
    headers.set("authorization", `Bearer ${token}`);
  const answer = await fetch(url, { signal, cache: "no-store", ...init, headers }).catch((error: unknown) => {
    const rule = `${endpoint} must be reached, got ${String(error)}`;
    throw new HubUnreachable(
      id,
      `${rule}. Check the connection and load it again: the download goes on where it stopped.`,
    );
  });
  if (answer.ok) return answer;
  await answer.body?.cancel();
  const got = `got the answer ${answer.status} of ${new URL(url).pathname}`;
  if (transient.includes(answer.status))
    throw new HubUnreachable(id, `${endpoint} must answer, ${got}. Try again later.`);
  const access = token ? "its account must be granted access" : "give one that may read it";
  const remedy =
    answer.status === 404 ? "Check its name and revision" : `A gated model needs a token: ${access}`;
  throw new ModelError(id, `must be a model that can be read, ${got}. ${remedy} (${endpoint}/${id}).`);
}

/** Fills `into` with a file's bytes from `offset`, retrying while any arrive. ModelError, Cancelled. */
export async function readInto(
  into: Uint8Array<ArrayBuffer>,
  { id, url, offset }: { id: string; url: string; offset: number },
  access: HubAccess,
  onBytes: (count: number) => void,
): Promise<void> {
  let filled = 0;
  await retried(
    id,
    access.signal,
    async () => {
      const [from, to] = [offset + filled, offset + into.length];
      for await (const chunk of bytesFrom(id, url, [from, to], access)) {
        into.set(chunk, filled);
        filled += chunk.length;
        onBytes(chunk.length);
      }
      if (filled < into.length) throw new HubUnreachable(id, "an answer must not end too early. Try again.");
    },
    { progress: () => filled },
  );
}

async function* bytesFrom(id: string, url: string, [from, to]: [number, number], access: HubAccess) {
  const stalled = new AbortController();
  const late = () => stalled.abort(new Error(`no byte in ${stall / 1000} s`));
  const offline = () => stalled.abort(new Error("no network"));
  globalThis.addEventListener("offline", offline);
  let timer = setTimeout(late, stall);
  const signal = AbortSignal.any([access.signal, stalled.signal]);
  try {
    // One range is sent without a preflight.
    const answer = await ask(
      id,
      url,
      { ...access, signal },
      { headers: { Range: `bytes=${from}-${to - 1}` } },
    );
    // A server without ranges sends the whole file.
    let skip = answer.status === 206 ? 0 : from;
    let left = to - from;
    const reader = answer.body!.getReader();
    for (let part = await reader.read(); !part.done && left > 0; part = await reader.read()) {
      clearTimeout(timer);
      timer = setTimeout(late, stall);
      const wanted = part.value.subarray(Math.min(skip, part.value.length)).subarray(0, left);
      skip -= Math.min(skip, part.value.length);
      left -= wanted.length;
      if (wanted.length > 0) yield wanted;
    }
  } finally {
    clearTimeout(timer);
    globalThis.removeEventListener("offline", offline);
    stalled.abort(); // closes the connection where the reader stopped early
  }
}

/**
 * Repeats what fails, at most `most` times in a row; failures count anew after an attempt by which `progress` grew.
 * Of requests for lists few are made: without the Hub, what is stored is used, with no long wait before that.
 */
async function retried<T>(
  id: string,
  signal: AbortSignal,
  run: () => Promise<T>,
  { most = attempts, progress = () => 0 }: { most?: number; progress?: () => number } = {},
): Promise<T> {
  for (let failures = 0, before = progress(); ; before = progress()) {
    try {
      return await run();
    } catch (error) {
      if (signal.aborted) throw new Cancelled("the download");
      if (error instanceof ModelError && !(error instanceof HubUnreachable)) throw error;
      failures = progress() > before ? 1 : failures + 1;
      const last = failures >= most || !navigator.onLine;
      if (last && error instanceof HubUnreachable) throw error;
      if (last) {
        const rule = `its files must arrive whole, got ${String(error)}`;
        throw new HubUnreachable(id, `${rule}. Load it again: the download goes on where it stopped.`);
      }
      await new Promise((done) => setTimeout(done, firstPause * 2 ** (failures - 1)));
    }
  }
}
