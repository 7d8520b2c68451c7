/**
 * @file Images per second by two workers against one, each with one thread, over one Redis, in turns: both are there
 * all the time, and the second is stopped (SIGSTOP) while the first generates alone. Needs redis-server.
 *
 *     npx tsx bench/workers.ts [--model FOLDER] [--pixels 256] [--steps 8] [--jobs 12] [--pairs 20]
 */

import { parseArgs } from "node:util";
import { defaultLimits } from "../src/jobs/limits.js";
import { openModelRegistry } from "../src/jobs/model-registry.js";
import type { JobQueue } from "../src/jobs/queue.js";
import { redisQueue } from "../src/jobs/redis/queue.js";
import { resolveRequest } from "../src/jobs/resolve-request.js";
import { startRedis } from "../test/redis-server.js";
import { startWorker } from "../test/worker-process.js";

const { values } = parseArgs({
  options: {
    model: {
      type: "string",
      default: new URL("../golden/data/pipelines/koala-1b-tiny", import.meta.url).pathname,
    },
    pixels: { type: "string", default: "256" },
    steps: { type: "string", default: "8" },
    jobs: { type: "string", default: "12" },
    pairs: { type: "string", default: "20" },
  },
});
const models = await openModelRegistry([values.model]);
const redis = await startRedis();
const queue = await redisQueue(redis.url);
const [one, two] = [startWorker(redis.url, values.model), startWorker(redis.url, values.model)];
await Promise.all([one.ready, two.ready]);

async function ended(queue: JobQueue, id: string): Promise<void> {
  for await (const event of queue.events(id))
    if (event.type === "state" && event.job.state === "failed") throw new Error(event.job.error!.message);
}

let seed = 0;
/** Images per second. */
async function speed(jobs = Number(values.jobs)): Promise<number> {
  const [pixels, steps] = [Number(values.pixels), Number(values.steps)];
  const requests = await Promise.all(
    Array.from({ length: jobs }, () =>
      resolveRequest(
        { prompt: "a red bicycle", width: pixels, height: pixels, steps, seed: seed++ },
        models,
        defaultLimits,
      ),
    ),
  );
  const start = performance.now();
  const sent = await Promise.all(requests.map((request) => queue.submit(request)));
  await Promise.all(sent.map(({ id }) => ended(queue, id)));
  return jobs / ((performance.now() - start) / 1000);
}

const quartiles = (numbers: readonly number[]) => {
  const sorted = [...numbers].sort((a, b) => a - b);
  return [1, 2, 3].map((q) => sorted[Math.round((q / 4) * (sorted.length - 1))]!.toFixed(2));
};
const summary = (numbers: readonly number[]) => {
  const [low, middle, high] = quartiles(numbers);
  return `${middle} (quartiles ${low} to ${high})`;
};

await speed();
const rows: { alone: number; both: number }[] = [];
for (let i = 0; i < Number(values.pairs); i++) {
  // Each first in half of the pairs, so that a drift of the machine counts for neither.
  const turns = i % 2 === 0 ? (["alone", "both"] as const) : (["both", "alone"] as const);
  const row = { alone: 0, both: 0 };
  for (const turn of turns) {
    two.signal(turn === "alone" ? "SIGSTOP" : "SIGCONT");
    row[turn] = await speed();
  }
  rows.push(row);
}
two.signal("SIGCONT");
const alone = rows.map((row) => row.alone);
console.log(
  `one worker:  ${summary(alone)} images/s; from one turn to the next ${summary(
    alone.slice(1).map((x, i) => x / alone[i]!),
  )} times`,
);
console.log(`two workers: ${summary(rows.map(({ both }) => both))} images/s`);
console.log(
  `two against one, ${rows.length} pairs: ${summary(rows.map((row) => row.both / row.alone))} times`,
);
await queue.close({ graceSeconds: 0 });
await Promise.all([one, two].map((worker) => worker.kill("SIGTERM")));
await redis.stop();
