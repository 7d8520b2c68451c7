/** @file Accessibility of the page that is open in a browser, checked with axe-core. */

import { readFile } from "node:fs/promises";
import { createRequire } from "node:module";
import type { AxeResults } from "axe-core";
import type { Page } from "playwright-core";
import { expect } from "vitest";

const axe = await readFile(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");

/** The pages forbid injected scripts by their policy, so axe is evaluated through the debugger. */
export async function axeViolations(page: Page): Promise<string[]> {
  await page.evaluate(axe);
  const { violations, passes } = (await page.evaluate("axe.run(document)")) as AxeResults;
  expect(passes.length).toBeGreaterThan(15);
  return violations.flatMap(({ id, nodes }) =>
    nodes.map(({ html, failureSummary }) => `${id}: ${html}\n${failureSummary}`),
  );
}

/**
 * By how many pixels the page is wider than the screen. Not than `window.innerWidth`, which a phone makes as wide as
 * what overflows.
 */
export const overflow = async (page: Page) =>
  Number(await page.evaluate("document.documentElement.scrollWidth")) - page.viewportSize()!.width;
