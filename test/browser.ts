/** @file Chromium of the system for tests of the pages, and visits that record every error of a page. */

import { type Browser, type BrowserContextOptions, chromium, type Page } from "playwright-core";
import { longestWait } from "./longest-wait.js";

/** WebGPU, computed by SwiftShader on the CPU. */
const softwareGpu = [
  "--enable-unsafe-webgpu",
  "--use-webgpu-adapter=swiftshader",
  "--enable-features=Vulkan",
  "--use-vulkan=swiftshader",
  "--ignore-gpu-blocklist",
];

export const openBrowser = ({ webGpu = false } = {}): Promise<Browser> =>
  chromium.launch({
    executablePath: "/usr/bin/chromium",
    args: [
      "--headless",
      "--no-sandbox",
      ...(webGpu ? softwareGpu : ["--disable-gpu"]),
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
  /** Errors of scripts and of the policy, and requests to other servers; must stay empty. */
  complaints: string[];
  close(): Promise<void>;
};

/** Opens a page as a new visitor, and waits for the element `ready`. */
export async function visit(
  browser: Browser,
  url: string,
  options: BrowserContextOptions = desktop,
  ready = "form",
): Promise<Visit> {
  const context = await browser.newContext({ reducedMotion: "reduce", ...options });
  const page = await context.newPage();
  page.setDefaultTimeout(longestWait);
  const complaints: string[] = [];
  page.on("pageerror", (error) => complaints.push(String(error)));
  page.on("console", (message) => {
    if (message.type() === "error") complaints.push(message.text());
  });
  page.on("request", (request) => {
    const requested = request.url();
    if (!requested.startsWith(new URL(url).origin) && !/^(blob|data):/.test(requested))
      complaints.push(`requested ${requested}`);
  });
  await page.goto(url);
  await page.waitForSelector(ready);
  return { page, complaints, close: () => context.close() };
}
