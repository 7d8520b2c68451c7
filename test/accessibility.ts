/** @file Accessibility of the page that is open in a browser, checked with axe-core. */

import { readFile } from "node:fs/promises";
import { createRequire } from "node:module";
import type { AxeResults } from "axe-core";
import type { Page } from "playwright-core";
import { expect } from "vitest";

const axe = await readFile(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");

/** The rules of axe that look at colors; the others find the same in every color scheme. */
const colorRules = ["color-contrast", "link-in-text-block"];

/** The pages forbid injected scripts by their policy, so axe is evaluated through the debugger, once for each document. */
export async function axeViolations(page: Page, { colorsOnly = false } = {}): Promise<string[]> {
  if (!(await page.evaluate("'axe' in window"))) await page.evaluate(axe);
  const options = colorsOnly ? { runOnly: colorRules } : {};
  const results = await page.evaluate(`axe.run(document, ${JSON.stringify(options)})`);
  const { violations, passes } = results as AxeResults;
  expect(passes.length).toBeGreaterThan(colorsOnly ? 0 : 15);
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
