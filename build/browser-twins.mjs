/**
 * @file Builds the modules that take others' place in a browser, `NAME.browser.ts`, into dist. Part of `npm run build`.
 * Bundlers replace `NAME.js` by `NAME.browser.js` as package.json's field `browser` says; it must name all of them.
 */

import { existsSync, readdirSync, readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";

const root = fileURLToPath(new URL("..", import.meta.url));
const modules = readdirSync(`${root}src`, { recursive: true })
  .map((file) => file.replaceAll("\\", "/"))
  .filter((file) => file.endsWith(".browser.ts"));

await build({
  entryPoints: modules.map((file) => `${root}src/${file}`),
  outdir: `${root}dist`,
  outbase: `${root}src`,
  format: "esm",
  target: "es2022",
});

const built = (file) => `./dist/${file.replace(/\.ts$/, ".js")}`;
const replacing = modules.filter((file) => existsSync(`${root}src/${file.replace(".browser.ts", ".ts")}`));
const wanted = Object.fromEntries(
  replacing.sort().map((file) => [built(file.replace(".browser.ts", ".ts")), built(file)]),
);
const { browser } = JSON.parse(readFileSync(`${root}package.json`, "utf8"));
if (JSON.stringify(browser) !== JSON.stringify(wanted)) {
  console.error(`package.json: browser must be ${JSON.stringify(wanted, undefined, 2)}`);
  process.exitCode = 1;
}
