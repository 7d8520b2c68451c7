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
/** What a visit without a network needs, with all builds of ONNX Runtime, of which a browser uses one. */
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

const cacheName = "koala-site";
const home = scope.registration.scope;
const addressOf = (path: string) => `${new URL(path, home).href}?${FILES[path]}`;

/** Fetches of files that run, by path: ranges of one file wait for the same. */
const fetching = new Map<string, Promise<Response>>();

on<WaitingEvent>("install", (event) => event.waitUntil(scope.skipWaiting()));
on<WaitingEvent>("activate", (event) => event.waitUntil(Promise.all([scope.clients.claim(), forgetOld()])));
/** A page is there, and has what it needs most. */
on<WaitingEvent>("message", (event) => event.waitUntil(keepAll()));

on<FetchEvent>("fetch", (event) => {
  const { request } = event;
  const url = new URL(request.url);
  if (request.method !== "GET" || !url.href.startsWith(home)) return;
  const path =
    url.origin + url.pathname === home ? "index.html" : (url.origin + url.pathname).slice(home.length);
  if (Object.hasOwn(FILES, path)) event.respondWith(answer(path, request.headers.get("range")));
});

async function answer(path: string, range: string | null): Promise<Response> {
  const file = await kept(path);
  const response = range === null || !file.ok ? file : partOf(await file.blob(), range);
  const headers = new Headers(response.headers);
  for (const [name, value] of Object.entries(HEADERS)) headers.set(name, value);
  return new Response(response.body, { status: response.status, headers });
}

function partOf(file: Blob, header: string): Response {
  const range = byteRange(header, file.size);
  if (!range) return new Response(file);
  const { start, end } = range;
  return new Response(start < end ? file.slice(start, end, file.type) : null, rangeAnswer(range, file.size));
}

/** The whole file, from the cache or else from the host. */
async function kept(path: string): Promise<Response> {
  const cache = await caches.open(cacheName);
  const found = await cache.match(addressOf(path));
  if (found) return found;
  const running = fetching.get(path);
  if (running) return (await running).clone();
  const fetched = fetchAndKeep(cache, path).finally(() => fetching.delete(path));
  fetching.set(path, fetched);
  return (await fetched).clone();
}

async function fetchAndKeep(cache: Cache, path: string): Promise<Response> {
  const response = await fetch(new URL(path, home), { cache: "no-cache" });
  // What does not fit is fetched anew each time.
  if (response.ok) await cache.put(addressOf(path), response.clone()).catch(() => {});
  return response;
}

async function keepAll(): Promise<void> {
  const start = `ort/${filesOf[buildFor("gpu" in navigator ? "webgpu" : "cpu")]}`;
  const used = (path: string) =>
    !path.startsWith("ort/") || path === `${start}mjs` || path === `${start}wasm`;
  for (const path of KEPT.filter(used)) await kept(path).catch(() => {});
}

async function forgetOld(): Promise<void> {
  const cache = await caches.open(cacheName);
  const current = new Set(Object.keys(FILES).map(addressOf));
  for (const { url } of await cache.keys()) if (!current.has(url)) await cache.delete(url);
}
