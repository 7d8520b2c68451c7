/** @file `koala serve --redis`: jobs go to workers, and so does the choice of models. */

import type { OpenQueue } from "../server.js";
import { isDown } from "./connection.js";
import { redisQueueAndModels } from "./queue.js";

export function queueOver(url: string): OpenQueue {
  return (own, { limits, onEnd, onError }) =>
    redisQueueAndModels(url, own, { most: limits.queue, onEnd, onError: untilReachable(onError) });
}

/** During an outage every connection notes every attempt; clients are told by their answers. */
function untilReachable(onError: (error: unknown) => void): (error: unknown) => void {
  return (error) => void (isDown(error) || onError(error));
}
