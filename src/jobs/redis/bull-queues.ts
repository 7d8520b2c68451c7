/** @file The queues of BullMQ, one for each model: a worker takes from those of its models alone. */

import { type ConnectionOptions, Queue } from "bullmq";
import type { Redis } from "ioredis";

/** BullMQ allows no colon in a queue's name, and a model's id may hold anything. */
export const queueName = (model: string): string => `generate-${encodeURIComponent(model)}`;

/** Errors that are worth another try are tried this often, after 1 s, 2 s ... */
const attempts = 3;

export class BullQueues {
  readonly #redis: Redis;
  readonly #prefix: string;
  readonly #onError: (error: Error) => void;
  readonly #queues = new Map<string, Queue>();

  constructor(redis: Redis, prefix: string, onError: (error: Error) => void) {
    this.#redis = redis;
    this.#prefix = prefix;
    this.#onError = onError;
  }

  /** Adds a job, if it is not there already. Its request is in the job's record. */
  async add(model: string, id: string): Promise<void> {
    await this.#queue(model).add(
      "generate",
      {},
      {
        jobId: id,
        attempts,
        backoff: { type: "exponential", delay: 1000 },
        // The record is what clients read later.
        removeOnComplete: true,
        removeOnFail: true,
      },
    );
  }

  /** Removes a job that no worker has taken. */
  async remove(model: string, id: string): Promise<void> {
    await this.#queue(model).remove(id);
  }

  async close(): Promise<void> {
    await Promise.all([...this.#queues.values()].map((queue) => queue.close()));
  }

  #queue(model: string): Queue {
    const known = this.#queues.get(model);
    if (known) return known;
    const queue = new Queue(queueName(model), {
      connection: this.#redis as unknown as ConnectionOptions,
      prefix: this.#prefix,
    });
    queue.on("error", this.#onError);
    this.#queues.set(model, queue);
    return queue;
  }
}
