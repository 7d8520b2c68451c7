/**
 * @file Client of the Hub's HTTP API: the commit of a revision, its files, and their bytes from any offset. Must not
 * import the cache.
 */

import { ModelError } from "../errors.js";
import type { HubModel } from "./name.js";
import { proxyFetch } from "./proxy.js";
import { type Fetch, type RetryOptions, requester } from "./request.js";
import type { HubSettings } from "./settings.js";

/** `etag` is the sha256 of a file in LFS, and git's sha1 of any other. */
export type HubFile = { path: string; size: number; etag: string };

export type HubOptions = {
  signal?: AbortSignal | undefined;
  /** Called with one line for each delay and each unexpected state. */
  onNote?: ((note: string) => void) | undefined;
  retry?: Partial<RetryOptions> | undefined;
};

export type HubClient = {
  retry: RetryOptions;
  /** The current commit of a revision. */
  commit(model: HubModel): Promise<string>;
  files(model: HubModel, commit: string): Promise<HubFile[]>;
  /** The file's bytes from `offset` on; RangeIgnored where the server will only send all of it. */
  read(
    model: HubModel,
    commit: string,
    file: HubFile,
    offset: number,
    signal: AbortSignal,
  ): AsyncIterable<Uint8Array>;
};

/** Opened when something is asked of the Hub: most of what is generated lies in its cache. */
const library = () => import("@huggingface/hub");

/** The server answered a request for a part of a file with the whole. */
export class RangeIgnored extends Error {}

/** A client of the Hub at `settings.endpoint`; its functions throw ModelError and Cancelled. */
export function hubClient(settings: HubSettings, options: HubOptions = {}): HubClient {
  const { endpoint } = settings;
  const { signal, onNote } = options;
  const fetch = proxyFetch(settings.proxies);
  const retry = { attempts: 5, pause: 1000, stall: 30_000, ...options.retry };
  // Without a network the cache is used: no long wait before that.
  const brief = { ...retry, attempts: 2 };
  const apiRequest = (model: HubModel) => requester(model, settings, { signal, onNote, retry: brief, fetch });
  return {
    retry,
    commit: (model) => fetchCommit(model, endpoint, apiRequest(model)),
    files: (model, commit) => fetchFileList(model, commit, endpoint, apiRequest(model)),
    read: (model, commit, file, offset, signal) => {
      const request = requester(model, settings, { signal, onNote, retry, fetch });
      return readBytes({ model, commit, file, endpoint, offset, stall: retry.stall }, request);
    },
  };
}

async function fetchCommit({ id, revision }: HubModel, hubUrl: string, fetch: Fetch): Promise<string> {
  const { modelInfo } = await library();
  const { sha } = await parsed(id, hubUrl, () =>
    modelInfo({ name: id, revision, hubUrl, fetch, additionalFields: ["sha"] }),
  );
  if (typeof sha === "string" && /^[0-9a-f]{40}$/.test(sha)) return sha;
  throw new ModelError(id, `${hubUrl} must name a commit, got ${JSON.stringify(sha)}. ${notHub}`);
}

async function fetchFileList(
  { id }: HubModel,
  commit: string,
  hubUrl: string,
  fetch: Fetch,
): Promise<HubFile[]> {
  const { listFiles } = await library();
  return parsed(id, hubUrl, async () => {
    const files: HubFile[] = [];
    for await (const entry of listFiles({
      repo: id,
      revision: commit,
      recursive: true,
      hubUrl,
      fetch,
    })) {
      const { type, path, size, oid, lfs } = entry;
      if (type !== "file") continue;
      const etag = lfs?.oid ?? oid;
      // The hash becomes a file's name.
      if (etag === undefined || !/^([0-9a-f]{40}|[0-9a-f]{64})$/.test(etag)) {
        const got = JSON.stringify(etag);
        throw new ModelError(`${id}/${path}`, `${hubUrl} must give the file's hash, got ${got}. ${notHub}`);
      }
      files.push({ path, size: lfs?.size ?? size, etag });
    }
    return files;
  });
}

async function parsed<T>(id: string, endpoint: string, fetch: () => Promise<T>): Promise<T> {
  try {
    return await fetch();
  } catch (error) {
    if (!(error instanceof SyntaxError)) throw error;
    throw new ModelError(id, `${endpoint} must answer in JSON, got something else. ${notHub}`);
  }
}

const notHub = "Check HF_ENDPOINT, and that no login page of the network stands in between.";

type Reading = {
  model: HubModel;
  commit: string;
  file: HubFile;
  endpoint: string;
  offset: number;
  stall: number;
};

async function* readBytes({ model, commit, file, endpoint, offset, stall }: Reading, fetch: Fetch) {
  const stalled = new AbortController();
  let timer: NodeJS.Timeout | undefined;
  // The library's stream passes on only an error's message, so the error itself is kept here.
  let failure: unknown;
  const get: Fetch = async (url, init) => {
    try {
      const response = await fetch(url, { ...init, signal: stalled.signal });
      if (offset > 0 && response.status !== 206) throw new RangeIgnored();
      timer = setTimeout(() => stalled.abort(new Error(`no byte in ${stall / 1000} s`)), stall);
      return response;
    } catch (error) {
      failure = error;
      throw error;
    }
  };
  const path = file.path.split("/").map(encodeURIComponent).join("/");
  // With the size and the URL given, the library makes no other request.
  const downloadInfo = { ...file, url: `${endpoint}/${model.id}/resolve/${commit}/${path}` };
  const at = { repo: model.id, path: file.path, revision: commit, hubUrl: endpoint };
  const { downloadFile } = await library();
  try {
    const blob = await downloadFile({ ...at, downloadInfo, xet: false, fetch: get });
    for await (const chunk of blob!.slice(offset).stream()) {
      timer?.refresh();
      yield chunk;
    }
  } catch (error) {
    throw failure ?? error;
  } finally {
    clearTimeout(timer);
    // Closes the connection where the reader stopped early.
    stalled.abort();
  }
}
