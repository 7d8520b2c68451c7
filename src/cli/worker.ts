/** @file `koala worker`: generates the jobs that `koala serve --redis` takes. */

import { Command } from "commander";
import { modelOrBundled } from "../hub/bundled-models.js";
import { openSigner } from "../image/content-credentials.js";
import { openModelRegistry } from "../jobs/model-registry.js";
import { findPlaces } from "../jobs/placements.js";
import { processorThread } from "../jobs/processor-thread.js";
import { checkUrl } from "../jobs/redis/address.js";
import { JobWorker } from "../jobs/redis/worker.js";
import type { Embedding } from "../pipeline/embeddings.js";
import { dim } from "./colors.js";
import { notePlace, type PlacementFlags, placementFlags, withPlacementOptions } from "./device.js";
import { onCommandLine } from "./flag-names.js";
import { namedLoras, type ServedLora } from "./lora.js";
import { graceOption, threadsOption } from "./numbers.js";
import { outageReporter, whenFilesOpen } from "./outages.js";
import { noteSafety, type ServedSafetyFlags, servedSafety, withServedSafetyOptions } from "./safety.js";
import {
  embeddingsOption,
  folders,
  lorasOption,
  modelsOption,
  redisOption,
  servedEmbeddings,
} from "./serve.js";
import { type SigningFlags, signingFiles, withSigningOptions } from "./signing.js";
import { type SingleFileFlags, servedFileFlags, withConfigFlags } from "./single-file.js";
import { report, stopOnInterrupt } from "./terminal.js";

type Options = SingleFileFlags &
  PlacementFlags &
  ServedSafetyFlags &
  SigningFlags & {
    redis: string;
    model: string[];
    lora: ServedLora[];
    embedding: Embedding[];
    threads?: number;
    grace: number;
    quiet?: boolean;
  };

/** The command, to be mounted by the program. */
export function workerCommand(): Command {
  const command = new Command("worker")
    .description("Generate the jobs that `koala serve --redis` takes, on as many machines as you like.")
    .addOption(redisOption("where the jobs are, such as redis://127.0.0.1:6379").makeOptionMandatory())
    .addOption(modelsOption())
    .addOption(lorasOption())
    .addOption(embeddingsOption())
    .option("--threads <n>", "default: one per core", threadsOption);
  withSigningOptions(withServedSafetyOptions(withPlacementOptions(command)))
    .option(
      "--grace <seconds>",
      "for the running job when stopped, then another worker gets it",
      graceOption,
      30,
    )
    .option("-q, --quiet", "print nothing but errors")
    .addHelpText("after", help)
    .action(work);
  return withConfigFlags(command);
}

const help = `
Progress, previews and cancelling work as without Redis. A worker that is killed loses no job: another generates it.

Example:
  koala serve --redis redis://127.0.0.1:6379
  koala worker --redis redis://127.0.0.1:6379 --model ./koala-lightning-700m
`;

async function work(options: Options, command: Command): Promise<void> {
  const load = await servedFileFlags(options, options.quiet);
  const { redis, model, lora, embedding, threads, grace, quiet = false } = options;
  checkUrl(redis);
  const print = (line: string) => void (quiet || process.stderr.write(`${line}\n`));
  const names = model.length > 0 ? model : [modelOrBundled(undefined)];
  const places = await findPlaces(placementFlags(options), (place) => notePlace(place, print));
  const safety = await servedSafety(options);
  const sign = signingFiles(options);
  if (sign) await openSigner(sign);
  const models = await whenFilesOpen(async () =>
    openModelRegistry(await folders({ model: names, quiet }, safety), {
      ...{ safety, signed: sign !== undefined },
      loras: await namedLoras(lora),
      ...{ load, embeddings: await servedEmbeddings(embedding), placements: places },
    }),
  );
  noteSafety(
    [...models.values()].map(({ info }) => info),
    print,
  );
  const { signal, done } = stopOnInterrupt(() =>
    print(`stopping: ${grace} s for the running job, then another worker gets it (again to end at once)`),
  );
  const stopped = new Promise<void>((resolve) => signal.addEventListener("abort", () => resolve()));
  const processor = processorThread(models, {
    sign,
    ...(threads !== undefined && { threads }),
    onNotice: (line) => print(dim(line)),
  });
  const worker = new JobWorker(redis, processor, models, {
    onJob: (id, outcome) => print(`${id} ${outcome}`),
    onError: outageReporter(redis),
  });
  const started = worker.start().then(() => print(`generating ${[...models.keys()].join(", ")}`));
  try {
    await Promise.race([started.then(() => stopped), stopped]);
  } catch (error) {
    report(onCommandLine(error, command));
    // A connection that is refused tries again for as long as the process runs.
    process.exit();
  }
  await Promise.race([worker.close({ graceSeconds: grace }), late(grace + 5)]);
  await processor.close();
  done();
  // During an outage of Redis the connections would wait for it; the locks of jobs expire by themselves.
  process.exit();
}

const late = (seconds: number) => new Promise((resolve) => setTimeout(resolve, seconds * 1000));
