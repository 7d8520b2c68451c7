/** @file A plugin of Vite that takes a module's browser twin, as package.json's field `browser` has bundlers do with the built files. */

import { existsSync } from "node:fs";
import path from "node:path";
import type { Plugin } from "vite";

const sources = path.resolve(import.meta.dirname, "../src");

export const browserTwins = (): Plugin => ({
  name: "browser-twins",
  enforce: "pre",
  resolveId(target, importer) {
    if (!target.startsWith(".") || importer === undefined) return undefined;
    const file = path.resolve(path.dirname(importer), target);
    const twin = file.replace(/(?:\.browser)?\.[jt]s$/, ".browser.ts");
    return file.startsWith(sources) && existsSync(twin) ? twin : undefined;
  },
});
