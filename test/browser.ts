/** @file Debian's Chromium for tests of the page, and what must hold of every page that was open in it. */

import { type Browser, type BrowserContextOptions, chromium, type Page } from "playwright-core";

export const openBrowser = (): Promise<Browser> =>
  chromium.launch({
    executablePath: "/usr/bin/chromium",
    args: [
      "--headless",
      "--no-sandbox",
      "--disable-gpu",
      "--disable-quic",
      "--no-first-run",
      "--disable-background-networking",
      "--disable-component-update",
      "--disable-sync",
    ],
  });

export const desktop = { viewport: { width: 1280, height: 900 } } satisfies BrowserContextOptions;
export const phone = {
  viewport: { width: 390, height: 844 },
  hasTouch: true,
  isMobile: true,
  deviceScaleFactor: 2,
} satisfies BrowserContextOptions;

export type Visit = {
  page: Page;
  /** What must stay empty: errors of scripts, of the policy, and requests to anyone else. */
  complaints: string[];
  close(): Promise<void>;
};

/** Opens the page as a visitor who was never here; `expected` are complaints that a test causes. */
export async function visit(
  browser: Browser,
  url: string,
  options: BrowserContextOptions = desktop,
): Promise<Visit> {
  const context = await browser.newContext({ reducedMotion: "reduce", ...options });
  const page = await context.newPage();
  page.setDefaultTimeout(15_000);
  const complaints: string[] = [];
  page.on("pageerror", (error) => complaints.push(String(error)));
  page.on("console", (message) => {
    if (message.type() === "error") complaints.push(message.text());
  });
  page.on("request", (request) => {
    const asked = request.url();
    if (!asked.startsWith(new URL(url).origin) && !/^(blob|data):/.test(asked))
      complaints.push(`asked ${asked}`);
  });
  await page.goto(url);
  await page.waitForSelector("form");
  return { page, complaints, close: () => context.close() };
}
