/** @file Setup of the page's tests: a browser and a server for each file, and the actions of a visitor. */

import type { Browser, BrowserContextOptions, Page } from "playwright-core";
import { afterAll, afterEach, beforeAll, expect } from "vitest";
import type { Job, JobList } from "../src/jobs/schemas.js";
import { type RunningServer, serve } from "../src/server/serve.js";
import { openBrowser, type Visit, visit } from "./browser.js";
import { goldenModel } from "./serving.js";

type ServeOptions = Partial<Parameters<typeof serve>[0]>;

export type PageSetup = {
  readonly server: RunningServer;
  /** The errors that Chromium logged during the running test; must be empty at its end. */
  readonly complaints: string[];
  /** Opens the page as a new visitor, until the end of the test; `url` is another server's. */
  open(options?: BrowserContextOptions, url?: string): Promise<Page>;
  api<T>(path: string, init?: RequestInit): Promise<T>;
  lastJob(): Promise<Job>;
};

/** Registers hooks that start a browser and a server of the tiny model before the tests of a file. */
export function setUpPage(options: ServeOptions = {}): PageSetup {
  let browser: Browser;
  let server: RunningServer;
  let visits: Visit[] = [];
  beforeAll(async () => {
    [browser, server] = await Promise.all([
      openBrowser(),
      serve({
        port: 0,
        ...(options.redis === undefined && { models: [goldenModel], threads: 1 }),
        ...options,
      }),
    ]);
  });
  afterEach(async () => {
    const ended = visits;
    visits = [];
    await Promise.all(ended.map(({ close }) => close()));
    expect(ended.flatMap(({ complaints }) => complaints)).toEqual([]);
  });
  afterAll(async () => {
    await browser?.close();
    await server?.close({ graceSeconds: 0 });
  });
  const api = async <T>(path: string, init?: RequestInit) =>
    (await (await fetch(new URL(path, server.url), init)).json()) as T;
  return {
    get server() {
      return server;
    },
    get complaints() {
      return visits.at(-1)!.complaints;
    },
    open: async (context, url = server.url) => {
      const opened = await visit(browser, url, context);
      visits.push(opened);
      return opened.page;
    },
    api,
    lastJob: async () => (await api<JobList>("/api/jobs")).jobs[0]!,
  };
}

/** Fills in a prompt and settings (by id of the field), and presses Ctrl+Enter. */
export async function generate(page: Page, prompt: string, settings: Record<string, string> = {}) {
  await page.fill("#prompt", prompt);
  for (const [id, value] of Object.entries({ steps: "4", ...settings })) await page.fill(`#${id}`, value);
  await page.keyboard.press("Control+Enter");
}

/** Resolves when a finished image is in the large view. */
export const imageShown = (page: Page) => page.waitForSelector(".image .large");

export const textOf = (page: Page, selector: string) => page.locator(selector).innerText();

/** Drops a file on the element that the selector finds. */
export async function drop(page: Page, selector: string, name: string, bytes: Uint8Array): Promise<void> {
  // As text, since DOM types are not available to these files.
  const transfer = await page.evaluateHandle(`(() => {
    const data = new DataTransfer();
    const bytes = Uint8Array.from(atob("${Buffer.from(bytes).toString("base64")}"), (c) => c.charCodeAt(0));
    data.items.add(new File([bytes], ${JSON.stringify(name)}, { type: "image/png" }));
    return data;
  })()`);
  await page.dispatchEvent(selector, "dragover", { dataTransfer: transfer });
  await page.dispatchEvent(selector, "drop", { dataTransfer: transfer });
}

/** The PNG of a job that is sent to the API, with its metadata. */
export async function generatedPng({ api, server }: PageSetup, request: object): Promise<Buffer> {
  const headers = { "content-type": "application/json" };
  let job = await api<Job>("/api/jobs", { method: "POST", headers, body: JSON.stringify(request) });
  while (job.state !== "done") {
    await new Promise((resolve) => setTimeout(resolve, 50));
    job = await api<Job>(`/api/jobs/${job.id}`);
  }
  const { pathname } = new URL(job.images[0]!.url, server.url);
  return Buffer.from(await (await fetch(new URL(pathname, server.url))).arrayBuffer());
}
