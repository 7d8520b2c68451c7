/** @file Stands for `channels-last.ts` in a browser, which trains nothing. */

import type { Graph } from "./graph.js";

export function channelsLast<G extends Graph>(_outputs: G): G {
  throw new Error("internal: programs for training are not lowered in a browser");
}
