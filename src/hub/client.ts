/**
 * @file Asks the Hub: which commit a revision is, which files it has, and their bytes from any offset. Knows nothing of
 * the cache.
 */

import { downloadFile, listFiles, modelInfo } from "@huggingface/hub";
import { ModelError } from "../errors.js";
import type { HubModel } from "./id.js";
import { proxyFetch } from "./proxy.js";
import { type Fetch, type Patience, requester } from "./request.js";
import type { HubSettings } from "./settings.js";

/** `etag` is the sha256 of a file in LFS, and git's sha1 of any other. */
export type HubFile = { path: string; size: number; etag: string };

export type HubOptions = {
  signal?: AbortSignal | undefined;
  /** Told in a line what takes longer than expected, or is not as expected. */
  onNote?: ((note: string) => void) | undefined;
  patience?: Partial<Patience> | undefined;
};

export type HubClient = {
  patience: Patience;
  /** The commit that a revision is now. */
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

/** The server answered a request for a part of a file with the whole. */
export class RangeIgnored extends Error {}

/** A client of the Hub at `settings.endpoint`; its functions throw ModelError and Cancelled. */
export function hubClient(settings: HubSettings, options: HubOptions = {}): HubClient {
  const { endpoint } = settings;
  const { signal, onNote } = options;
  const fetch = proxyFetch(settings.proxies);
  const patience = { attempts: 5, pause: 1000, stall: 30_000, ...options.patience };
  // Without a network, what lies in the cache should not be waited for long.
  const brief = { ...patience, attempts: 2 };
  const asking = (model: HubModel) => requester(model, settings, { signal, onNote, patience: brief, fetch });
  return {
    patience,
    commit: (model) => askCommit(model, endpoint, asking(model)),
    files: (model, commit) => askFiles(model, commit, endpoint, asking(model)),
    read: (model, commit, file, offset, signal) => {
      const request = requester(model, settings, { signal, onNote, patience, fetch });
      return readBytes({ model, commit, file, endpoint, offset, stall: patience.stall }, request);
    },
  };
}

async function askCommit({ id, revision }: HubModel, hubUrl: string, ask: Fetch): Promise<string> {
  const { sha } = await understood(id, hubUrl, () =>
    modelInfo({ name: id, revision, hubUrl, fetch: ask, additionalFields: ["sha"] }),
  );
  if (typeof sha === "string" && /^[0-9a-f]{40}$/.test(sha)) return sha;
  throw new ModelError(id, `${hubUrl} must name a commit, got ${JSON.stringify(sha)}. ${notHub}`);
}

async function askFiles({ id }: HubModel, commit: string, hubUrl: string, ask: Fetch): Promise<HubFile[]> {
  return understood(id, hubUrl, async () => {
    const files: HubFile[] = [];
    for await (const entry of listFiles({
      repo: id,
      revision: commit,
      recursive: true,
      hubUrl,
      fetch: ask,
    })) {
      const { type, path, size, oid, lfs } = entry;
      if (type !== "file") continue;
      const etag = lfs?.oid ?? oid;
      // It becomes a file's name.
      if (etag === undefined || !/^([0-9a-f]{40}|[0-9a-f]{64})$/.test(etag)) {
        const got = JSON.stringify(etag);
        throw new ModelError(`${id}/${path}`, `${hubUrl} must tell the file's hash, got ${got}. ${notHub}`);
      }
      files.push({ path, size: lfs?.size ?? size, etag });
    }
    return files;
  });
}

async function understood<T>(id: string, endpoint: string, ask: () => Promise<T>): Promise<T> {
  try {
    return await ask();
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

async function* readBytes({ model, commit, file, endpoint, offset, stall }: Reading, ask: Fetch) {
  const stalled = new AbortController();
  let timer: NodeJS.Timeout | undefined;
  // The library's stream passes on only an error's message, so the error itself is kept here.
  let failure: unknown;
  const get: Fetch = async (url, init) => {
    try {
      const response = await ask(url, { ...init, signal: stalled.signal });
      if (offset > 0 && response.status !== 206) throw new RangeIgnored();
      timer = setTimeout(() => stalled.abort(new Error(`no byte in ${stall / 1000} s`)), stall);
      return response;
    } catch (error) {
      failure = error;
      throw error;
    }
  };
  const path = file.path.split("/").map(encodeURIComponent).join("/");
  // Given the size and the address, the library asks for nothing but the bytes.
  const downloadInfo = { ...file, url: `${endpoint}/${model.id}/resolve/${commit}/${path}` };
  const at = { repo: model.id, path: file.path, revision: commit, hubUrl: endpoint };
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
    // Lets go of the connection where the reader left early.
    stalled.abort();
  }
}
