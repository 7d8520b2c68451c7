/**
 * @file `npm run coverage -- [FILES]`: the lines of src that the tests run, in whichever process: vitest's workers (by
 * vitest), and the threads and commands that run from dist (by NODE_V8_COVERAGE and dist's source maps). The page, which
 * runs in a browser, is not counted.
 */

import { spawnSync } from "node:child_process";
import { mkdirSync, readdirSync, readFileSync, rmSync } from "node:fs";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { mergeScriptCovs, type ScriptCov } from "@bcoe/v8-coverage";
import convert from "ast-v8-to-istanbul";
import coverage from "istanbul-lib-coverage";
import report from "istanbul-lib-report";
import reports from "istanbul-reports";
import { parseAstAsync } from "vite";

const root = fileURLToPath(new URL("..", import.meta.url));
const folder = path.join(root, "coverage");
const processes = path.join(folder, "processes");

rmSync(folder, { recursive: true, force: true });
mkdirSync(processes, { recursive: true });
const include = ["--coverage.include=src/**/*.ts", "--coverage.exclude=src/**/*.test.ts"];
const output = ["--coverage.reporter=json", `--coverage.reportsDirectory=${path.join(folder, "vitest")}`];
const always = "--coverage.reportOnFailure";
const vitest = path.join(root, "node_modules/vitest/vitest.mjs");
const { status } = spawnSync(
  process.execPath,
  [vitest, "run", "--coverage.enabled", always, ...include, ...output, ...process.argv.slice(2)],
  { cwd: root, stdio: "inherit", env: { ...process.env, NODE_V8_COVERAGE: processes } },
);

const all = coverage.createCoverageMap(
  JSON.parse(readFileSync(path.join(folder, "vitest", "coverage-final.json"), "utf8")),
);
for (const [url, scripts] of scriptsOfDist()) all.merge(await linesOfSource(url, scripts));
const context = report.createContext({ dir: folder, coverageMap: all });
for (const kind of ["text", "html", "lcovonly"] as const) reports.create(kind).execute(context);
const { lines } = all.getCoverageSummary();
console.log(`\n${lines.pct} % of lines: ${lines.covered} of ${lines.total}`);
process.exitCode = status ?? 1;

/** What every process wrote of each script of dist, by its URL. */
function scriptsOfDist(): Map<string, ScriptCov[]> {
  const dist = new URL("../dist/", import.meta.url).href;
  const found = new Map<string, ScriptCov[]>();
  for (const name of readdirSync(processes)) {
    for (const script of scriptsIn(path.join(processes, name))) {
      if (!script.url.startsWith(dist)) continue;
      found.set(script.url, [...(found.get(script.url) ?? []), script]);
    }
  }
  return found;
}

/** What one process or thread wrote; nothing where it was killed, or was refused the space, while it wrote. */
function scriptsIn(file: string): readonly ScriptCov[] {
  try {
    return JSON.parse(readFileSync(file, "utf8")).result;
  } catch (error) {
    if (!(error instanceof SyntaxError)) throw error;
    console.warn(`left out: ${path.basename(file)} is not whole`);
    return [];
  }
}

async function linesOfSource(url: string, scripts: readonly ScriptCov[]) {
  const file = fileURLToPath(url);
  const code = readFileSync(file, "utf8");
  return convert({
    code,
    ast: await parseAstAsync(code),
    sourceMap: JSON.parse(readFileSync(`${file}.map`, "utf8")),
    coverage: { url, functions: mergeScriptCovs(scripts)!.functions },
  });
}
