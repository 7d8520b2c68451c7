/**
 * @file The service worker of the static site. It keeps the site's files for visits without a network, and adds the
 * headers that a host of static files cannot: those that threads of WebAssembly need, and the policy.
 *
 * A file is kept under its address and the hash of its content, which `build-site.ts` lists, so that a new build fetches
 * what changed and nothing else.
 */

import { buildFor, filesOf } from "../../../src/engine/ort/web-builds.js";
import { byteRange, rangeAnswer } from "../../../src/http/range.js";

/** By path below the site's folder: the file's hash. */
declare const FILES: Readonly<Record<string, string>>;
/** What a visit without a network needs, in this order, with all builds of ONNX Runtime, of which a browser uses one. */
declare const KEPT: readonly string[];
/** Of every answer. */
declare const HEADERS: Readonly<Record<string, string>>;

/** The parts of a service worker's globals that are used; the DOM's types are those of pages. */
type WaitingEvent = Event & { waitUntil(work: Promise<unknown>): void };
type FetchEvent = WaitingEvent & { request: Request; respondWith(answer: Promise<Response>): void };
type Scope = EventTarget & {
  registration: { scope: string };
  skipWaiting(): Promise<void>;
  clients: { claim(): Promise<void> };
};
const scope = globalThis as unknown as Scope;
const on = <E extends Event>(type: string, listener: (event: E) => void) =>
  scope.addEventListener(type, listener as (event: Event) => void);

const cache = caches.open("koala-site");
const home = scope.registration.scope;
const addressOf = (path: string) => `${new URL(path, home).href}?${FILES[path]}`;

/** The host's answer, to be cloned, and when it is in the cache. */
type Fetching = { answered: Promise<Response>; stored: Promise<void> };
/** Fetches of files that run, by path: ranges of one file wait for the same. */
const fetching = new Map<string, Fetching>();

on<WaitingEvent>("install", (event) => event.waitUntil(scope.skipWaiting()));
on<WaitingEvent>("activate", (event) => event.waitUntil(Promise.all([scope.clients.claim(), forgetOld()])));
/** A page is there, and has what it needs most. */
on<WaitingEvent>("message", (event) => event.waitUntil(keepAll(event)));

on<FetchEvent>("fetch", (event) => {
  const { request } = event;
  const url = new URL(request.url);
  if (request.method !== "GET" || !url.href.startsWith(home)) return;
  const path =
    url.origin + url.pathname === home ? "index.html" : (url.origin + url.pathname).slice(home.length);
  if (Object.hasOwn(FILES, path)) event.respondWith(answer(path, request.headers.get("range"), event));
});

async function answer(path: string, range: string | null, event: WaitingEvent): Promise<Response> {
  const response = range === null ? await kept(path, event) : await partOf(path, range, event);
  const headers = new Headers(response.headers);
  for (const [name, value] of Object.entries(HEADERS)) headers.set(name, value);
  return new Response(response.body, { status: response.status, headers });
}

/** Files in the cache of which parts were asked for, by path: a Blob is made of the whole file. */
const blobs = new Map<string, Blob>();

/** A part of a file that is kept, or is being fetched; else the host is asked for that part. */
async function partOf(path: string, header: string, event: WaitingEvent): Promise<Response> {
  let file = blobs.get(path);
  if (!file) {
    const whole = (await (await cache).match(addressOf(path))) ?? (await partOfHost(path, header, event));
    if (whole.status !== 200) return whole;
    file = await whole.blob();
    blobs.set(path, file);
  }
  const range = byteRange(header, file.size);
  if (!range) return new Response(file);
  const { start, end } = range;
  return new Response(start < end ? file.slice(start, end, file.type) : null, rangeAnswer(range, file.size));
}

/** Whether the host sends whole files for their parts, as was seen. */
let lacksRanges = false;

async function partOfHost(path: string, range: string, event: WaitingEvent): Promise<Response> {
  if (lacksRanges || fetching.has(path)) return kept(path, event);
  const part = await fetch(new URL(path, home), { cache: "no-cache", headers: { range } });
  if (part.status !== 200) return part;
  lacksRanges = true;
  fetchAndKeep(path, Promise.resolve(part));
  return kept(path, event);
}

/** The whole file, from the cache or else from the host, whose answer is put there meanwhile. */
async function kept(path: string, event: WaitingEvent): Promise<Response> {
  const found = await (await cache).match(addressOf(path));
  if (found) return found;
  const { answered, stored } = fetching.get(path) ?? fetchAndKeep(path);
  event.waitUntil(stored);
  return (await answered).clone();
}

/** `answered`: the host's answer with the whole file. */
function fetchAndKeep(path: string, answered = fetch(new URL(path, home), { cache: "no-cache" })): Fetching {
  const keep = async () => {
    const response = (await answered).clone();
    // What does not fit is fetched anew each time.
    if (response.ok) await (await cache).put(addressOf(path), response).catch(() => {});
  };
  const stored = keep()
    .catch(() => {})
    .finally(() => fetching.delete(path));
  const found = { answered, stored };
  fetching.set(path, found);
  return found;
}

async function keepAll(event: WaitingEvent): Promise<void> {
  const start = `ort/${filesOf[buildFor("gpu" in navigator ? "webgpu" : "cpu")]}`;
  const used = (path: string) =>
    !path.startsWith("ort/") || path === `${start}mjs` || path === `${start}wasm`;
  for (const path of KEPT.filter(used)) {
    await kept(path, event).catch(() => {});
    await fetching.get(path)?.stored;
  }
}

async function forgetOld(): Promise<void> {
  const opened = await cache;
  const current = new Set(Object.keys(FILES).map(addressOf));
  for (const { url } of await opened.keys()) if (!current.has(url)) await opened.delete(url);
}
