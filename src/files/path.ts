/** @file Paths of files, as Node has them; in a browser `path.browser.ts` takes this module's place. */

export { basename, default, dirname, extname, join, normalize, parse, resolve } from "node:path";
