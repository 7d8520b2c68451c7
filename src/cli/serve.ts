/** @file `koala serve`: reads its options, starts a server, prints its address and notes. */

import { once } from "node:events";
import { Command, InvalidArgumentError, Option } from "commander";
import { defaultLimits } from "../jobs/limits.js";
import { addressOf, checkUrl } from "../jobs/redis/address.js";
import { operatorRule, type ServedSafety } from "../jobs/served-safety.js";
import type { Embedding } from "../pipeline/embeddings.js";
import { refusalLog } from "../server/refusals.js";
import { type RunningServer, type ServeOptions, serve } from "../server/serve.js";
import { dim, yellow } from "./colors.js";
import { notePlace, type PlacementFlags, placementFlags, withPlacementOptions } from "./device.js";
import { embeddingOption } from "./embedding.js";
import { namedLoras, type ServedLora, servedLoraOption } from "./lora.js";
import { downloadComponents, downloadModel } from "./models.js";
import { graceOption, threadsOption, wholeOption } from "./numbers.js";
import { outageReporter } from "./outages.js";
import { noteSafety, type ServedSafetyFlags, servedSafety, withServedSafetyOptions } from "./safety.js";
import { type SigningFlags, signingFiles, withSigningOptions } from "./signing.js";
import { type SingleFileFlags, servedFileFlags, withConfigFlags } from "./single-file.js";
import { printError, stopOnInterrupt } from "./terminal.js";

type Options = SingleFileFlags &
  PlacementFlags &
  ServedSafetyFlags &
  SigningFlags & {
    model: string[];
    alias: (readonly [alias: string, model: string])[];
    lora: ServedLora[];
    wildcards?: string;
    embedding: Embedding[];
    host: string;
    port: number;
    apiKey?: string;
    auth: boolean;
    allowHost: string[];
    allowOrigin: string[];
    trustProxy?: boolean;
    threads?: number;
    redis?: string;
    maxQueue: number;
    maxPixels: number;
    maxSteps: number;
    maxCount: number;
    maxBody: number;
    grace: number;
    quiet?: boolean;
  };

/** Shared with the worker. As a variable it is not shown by a list of processes, password and all. */
export const redisOption = (what: string) => new Option("--redis <url>", what).env("KOALA_REDIS");

/** An option that may be given several times; `none` describes its absence. */
const severalOption = (flags: string, what: string, none: string) =>
  new Option(flags, what)
    .argParser((value: string, before: string[]) => [...before, value])
    .default([], none);

/** Shared with the worker. */
export const modelsOption = () =>
  severalOption(
    "-m, --model <model>",
    "folder, single file or Hub id; may be given again",
    "the bundled model",
  );

/** Shared with the worker. */
export const lorasOption = () =>
  new Option("--lora <name=file[:n]>", "LoRA to offer, by default at scale n; or a folder of them")
    .argParser(servedLoraOption)
    .default([], "none");

/** Shared with the worker. */
export const embeddingsOption = () =>
  new Option("--embedding <[name=]file>", "a textual inversion that prompts may name; may be given again")
    .argParser(embeddingOption)
    .default([], "none");

/** The embeddings' files, downloaded if need be. */
export const servedEmbeddings = async (given: readonly Embedding[]): Promise<readonly Embedding[]> =>
  (await downloadComponents({ embedding: [...given] })).embedding ?? [];

function aliasOption(value: string, before: Options["alias"]): Options["alias"] {
  const [, alias, model] = /^([^=]+)=(.+)$/.exec(value) ?? [];
  if (alias === undefined || model === undefined)
    throw new InvalidArgumentError(`"${value}" is not NAME=MODEL, such as gpt-image-1=nano.`);
  if (before.some(([other]) => other === alias)) throw new InvalidArgumentError(`"${alias}" is given twice.`);
  return [...before, [alias, model]];
}

const megabyte = 2 ** 20;

export function serveCommand(): Command {
  const { queue, pixels, steps, count, bodyBytes } = defaultLimits;
  const command = new Command("serve")
    .description("Serve models: a page, OpenAI's and AUTOMATIC1111's API, and jobs with progress.")
    .addOption(modelsOption())
    .addOption(
      new Option("--alias <name=model>", "another name of a model, for clients that send a fixed one")
        .argParser(aliasOption)
        .default([], "OpenAI's, of the first"),
    )
    .addOption(lorasOption())
    .option("--wildcards <folder>", "text files for __wildcard__ in dynamic prompts")
    .addOption(embeddingsOption())
    .addOption(redisOption("leave generating to the workers of this Redis"))
    .option("--host <address>", "address to listen on", "127.0.0.1")
    .option("--port <n>", "0 takes any free one", wholeOption, 7860)
    .option("--api-key <key>", "key that clients must send; or set KOALA_API_KEY")
    .option("--no-auth", "let in clients of other machines without a key")
    .addOption(severalOption("--allow-host <name>", "another name of this server, as behind a proxy", "none"))
    .addOption(severalOption("--allow-origin <origin>", "let pages of this site use the API", "none"))
    .option("--trust-proxy", "believe X-Forwarded-Proto and -Host, which the proxy must overwrite")
    .option("--threads <n>", "default: one per core", threadsOption);
  withSigningOptions(withServedSafetyOptions(withPlacementOptions(command)))
    .option("--max-queue <n>", "jobs that may wait", wholeOption, queue)
    .option("--max-pixels <n>", "width x height of an image", wholeOption, pixels)
    .option("--max-steps <n>", "steps of an image", wholeOption, steps)
    .option("--max-count <n>", "images of a job", wholeOption, count)
    .option("--max-body <MB>", "size of a request with an image", wholeOption, bodyBytes / megabyte)
    .option("--grace <seconds>", "time to finish at Ctrl-C", graceOption, 30)
    .option("-q, --quiet", "print nothing but errors")
    .addHelpText("after", "\nExample:\n  koala serve --model ./koala-lightning-700m --port 7860\n")
    .action(runServer);
  return withConfigFlags(command);
}

async function runServer(options: Options): Promise<void> {
  const print = (line: string) => void (options.quiet || process.stderr.write(`${line}\n`));
  const { redis, grace } = options;
  if (redis !== undefined) checkUrl(redis);
  const safety = await servedSafety(options);
  const sign = signingFiles(options);
  const server = await serve({
    models: await folders(options, safety),
    ...(await servedFileFlags(options, options.quiet)),
    loras: await namedLoras(options.lora),
    ...(options.wildcards !== undefined && { wildcards: options.wildcards }),
    embeddings: await servedEmbeddings(options.embedding),
    ...networkOptions(options),
    ...placementFlags(options),
    ...safety,
    ...(sign && { sign }),
    onDevice: (place) => notePlace(place, print),
    onNotice: (line) => print(dim(line)),
    ...(redis !== undefined && { redis, onConnect: () => print(dim(`connected to ${addressOf(redis)}`)) }),
    limits: limitsOf(options),
    onError: redis === undefined ? printError : outageReporter(redis),
    onRejected: refusalLog((line) => print(`${yellow("refused:")} ${line}`)),
  });
  const { signal, done } = stopOnInterrupt(() =>
    print(`\nstopping: ${grace} s for running jobs (Ctrl-C again to end at once)`),
  );
  process.stdout.write(`${server.url}/\n`);
  noteSafety(server.models, print);
  print(dim(readyNote(server, redis !== undefined)));
  if (!signal.aborted) await once(signal, "abort");
  await server.close({ graceSeconds: grace });
  done();
}

function networkOptions(options: Options): ServeOptions {
  const { host, port, auth, allowHost, allowOrigin, trustProxy = false, threads } = options;
  const apiKey = options.apiKey ?? process.env.KOALA_API_KEY;
  return {
    ...{ host, port, noAuth: !auth, allowHosts: allowHost, allowOrigins: allowOrigin, trustProxy },
    aliases: Object.fromEntries(options.alias),
    ...(apiKey !== undefined && { apiKey }),
    ...(threads !== undefined && { threads }),
  };
}

function readyNote({ models }: RunningServer, withRedis: boolean): string {
  const ids = models.map(({ id }) => id).join(", ");
  if (withRedis) return `${ids || "no worker has come yet"}; generated by workers. Ctrl-C stops.`;
  return `${ids}; loaded at first use. Ctrl-C stops.`;
}

const limitsOf = (options: Options) => ({
  queue: options.maxQueue,
  pixels: options.maxPixels,
  steps: options.maxSteps,
  count: options.maxCount,
  bodyBytes: options.maxBody * megabyte,
});

/** The folders of the named models, downloaded if need be. Shared with the worker. */
export const folders = (
  { model, quiet = false }: Pick<Options, "model" | "quiet">,
  safety: ServedSafety = {},
): Promise<string[]> =>
  Promise.all(
    model.map((name) => {
      const safetyChecker = operatorRule(safety, name) !== "off";
      return downloadModel(name, { quiet, safetyChecker });
    }),
  );
