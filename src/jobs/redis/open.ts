/** @file `koala serve --redis`: jobs go to workers, and so does the choice of models. */

import type { OpenQueue } from "../queue.js";
import { redisQueueAndModels } from "./queue.js";

/** `onOpen` is told when Redis was reached for the first time. */
export function queueOver(url: string, onOpen: () => void = () => {}): OpenQueue {
  return (own, { limits, onEnd, onError }) =>
    redisQueueAndModels(url, own, { most: limits.queue, onOpen, onEnd, onError });
}
