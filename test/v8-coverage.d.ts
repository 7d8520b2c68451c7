/** @file Types of @bcoe/v8-coverage, which has none of its own: of what coverage.ts uses. */

declare module "@bcoe/v8-coverage" {
  export type ScriptCov = import("node:inspector").Profiler.ScriptCoverage;
  export function mergeScriptCovs(scripts: readonly ScriptCov[]): ScriptCov | undefined;
}
