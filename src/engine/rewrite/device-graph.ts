/** @file The rewrites that a device needs: the graph that lowering writes and that the memory estimate measures. */

import type { Device } from "../device.js";
import { composeAttention } from "./attention.js";
import { channelsLast } from "./channels-last.js";
import type { Graph } from "./graph.js";

/** The same results, as the device computes them. */
export const deviceGraph = <G extends Graph>(outputs: G, device: Device): G =>
  composeAttention(device.channelsLast ? channelsLast(outputs) : outputs, device);
