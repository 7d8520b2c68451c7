/**
 * @file The backend without a server: a Worker of this page that generates. It is started at the first call, and again at
 * the first one after its end.
 */

import { Calls, type FromThread } from "../../src/calls.js";
import { Cancelled, InvalidRequest } from "../../src/errors.js";
import { Channel } from "../../src/jobs/channel.js";
import type { ModelList } from "../../src/jobs/model-schemas.js";
import type { GenerationRequest, Job, TokensRequest, WordMaps } from "../../src/jobs/schemas.js";
import type { TabEvent, TabImage, TabMethods, TabOptions } from "../../src/tab/protocol.js";
import {
  type Backend,
  type ExplainOptions,
  type Explanation,
  GenerationCancelled,
  type GenerationEvent,
  GenerationFailure,
  type OwnModels,
} from "./backend.js";

/** At the address of a page that generates in the tab: its models, and ONNX Runtime's files. */
const listName = "tab.json";

const storageKey = "koala.models";

/** A model that was added earlier cannot be opened; `forget` leaves it out from now on. */
type OnProblem = (problem: string, forget: () => void) => void;

type Started = { calls: Calls<TabMethods>; models: Promise<ModelList> };

export class TabBackend implements Backend {
  readonly #home: URL;
  readonly #onProblem: OnProblem;
  #started: Started | undefined;

  /** `home` is the folder of the page; `onProblem` is called for models that were added and cannot be opened. */
  constructor(home: URL, onProblem: OnProblem) {
    this.#home = home;
    this.#onProblem = onProblem;
  }

  models(): Promise<ModelList> {
    return this.#start().models.catch(asFailure);
  }

  readonly ownModels: OwnModels = {
    add: async (request, { signal, onEvent }) => {
      const calls = await this.#opened();
      const added = await calls.call("addModel", request, { signals: [signal], onEvent }).catch(asFailure);
      if ("name" in added) {
        const others = addedModels().filter((name) => unpinned(name) !== unpinned(added.name));
        localStorage.setItem(storageKey, JSON.stringify([...others, added.name]));
      }
      return added;
    },
    stored: async () => (await this.#opened()).call("storedModels", undefined as never).catch(asFailure),
    remove: async (id) => {
      const list = await (await this.#opened()).call("removeModel", id).catch(asFailure);
      for (const name of addedModels().filter((name) => name.split(/[@/]/, 2).join("/") === id))
        forgetModel(name);
      return list;
    },
  };

  async countTokens(request: TokensRequest) {
    const calls = await this.#opened();
    return calls.call("countTokens", request).catch(asFailure);
  }

  async *generate(request: GenerationRequest, signal: AbortSignal): AsyncGenerator<GenerationEvent> {
    yield* this.#run({ ...request, previews: true }, signal);
  }

  async wordMaps(request: GenerationRequest, signal: AbortSignal): Promise<WordMaps> {
    const asked = { ...request, count: 1, attentionMaps: true };
    return (await this.#imageOf(asked, { signal, progress: () => {} })).image.wordMaps!;
  }

  async explain(request: GenerationRequest, options: ExplainOptions): Promise<Explanation> {
    const asked = { ...request, count: 1, attentionMaps: true, explainSteps: true };
    const { image, guidanceScale } = await this.#imageOf(asked, options);
    return {
      file: image.file,
      guidanceScale,
      wordMaps: image.wordMaps!,
      steps: image.stepPredictions!,
    };
  }

  /** A job ends with the page that it is of. */
  async *follow(): AsyncGenerator<GenerationEvent> {}

  async unfinishedJobs(): Promise<readonly Job[]> {
    return this.#started ? this.#started.calls.call("unfinishedJobs", undefined as never) : [];
  }

  async cancelJob(id: string): Promise<void> {
    await this.#started?.calls.call("cancelJob", id);
  }

  async #imageOf(request: GenerationRequest, { signal, progress }: ExplainOptions) {
    let [image, guidanceScale]: [TabImage?, number?] = [];
    for await (const event of this.#run(request, signal)) {
      if (event.type === "accepted") guidanceScale = event.settings.guidanceScale;
      if (event.type === "step") progress(event.step, event.total);
      if (event.type === "image") image = event.image;
    }
    return { image: image!, guidanceScale: guidanceScale! };
  }

  async *#run(request: GenerationRequest, signal: AbortSignal): AsyncGenerator<TabEvent> {
    const { calls, models } = this.#start();
    const events = new Channel<TabEvent>();
    const ended = models
      .then(() =>
        calls.call("generate", request, { signals: [signal], onEvent: (event) => events.push(event) }),
      )
      .then(
        () => events.end(),
        (error: unknown) => events.end({ error }),
      );
    try {
      yield* events;
      await ended;
    } catch (error) {
      asFailure(error);
    }
  }

  async #opened(): Promise<Calls<TabMethods>> {
    const { calls, models } = this.#start();
    await models;
    return calls;
  }

  #start(): Started {
    if (this.#started && !this.#started.calls.ended) return this.#started;
    const worker = new Worker(new URL("../../src/tab/worker.browser.ts", import.meta.url), {
      type: "module",
      name: "koala",
    });
    const calls = new Calls<TabMethods>((message, transfer) => worker.postMessage(message, [...transfer]));
    worker.addEventListener("message", ({ data }: MessageEvent<FromThread>) => calls.receive(data));
    worker.addEventListener("error", (event) => {
      event.preventDefault();
      worker.terminate();
      calls.fail(new GenerationFailure(crashed(event.message)));
    });
    const models = this.#options()
      .then((options) => calls.call("open", options))
      .then(({ list, problems }) => {
        for (const { name, message } of problems) this.#onProblem(message, () => forgetModel(name));
        return list;
      });
    // Without models the next call starts anew, with a message of its own.
    models.catch((error: unknown) => {
      worker.terminate();
      calls.fail(error);
    });
    this.#started = { calls, models };
    return this.#started;
  }

  async #options(): Promise<TabOptions> {
    const response = await fetch(new URL(listName, this.#home)).catch(() => undefined);
    if (!response?.ok) {
      const rule = `${listName}: must lie beside this page, got ${response ? response.status : "no answer"}.`;
      throw new GenerationFailure(`${rule} Check the connection, or build the site anew.`);
    }
    const { models, ort } = (await response.json()) as Omit<TabOptions, "added">;
    return { models: models.map(this.#url), added: addedModels(), ort: this.#url(ort) };
  }

  readonly #url = (path: string): string => new URL(path, this.#home).href;
}

/** Names of models that the visitor added. */
function addedModels(): string[] {
  try {
    const names: unknown = JSON.parse(localStorage.getItem(storageKey) ?? "[]");
    return Array.isArray(names) ? names.filter((name) => typeof name === "string") : [];
  } catch {
    return [];
  }
}

/** A model's name without its commit. */
const unpinned = (name: string): string => name.replace(/@[0-9a-f]{40}(?=\/|$)/, "");

function forgetModel(name: string): void {
  localStorage.setItem(storageKey, JSON.stringify(addedModels().filter((other) => other !== name)));
}

const crashed = (message: string): string =>
  `The worker of this tab has ended${message ? `: ${message}` : ""}. Generate again; it is started anew.`;

function asFailure(error: unknown): never {
  if (error instanceof Cancelled) throw new GenerationCancelled();
  if (error instanceof GenerationFailure || !(error instanceof Error)) throw error;
  throw new GenerationFailure(error.message, error instanceof InvalidRequest ? error.field : undefined);
}
