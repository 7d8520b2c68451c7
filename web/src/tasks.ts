/** @file What is being generated: one task per press of "Generate", each followed to its end and kept in the gallery. */

import { computed, effect, signal } from "@preact/signals";
import type { GenerationSettings } from "../../src/jobs/schemas.js";
import {
  type FinishedImage,
  type GenerationEvent,
  GenerationFailure,
  ServerUnreachable,
  Stopped,
} from "./backend.js";
import { keep, select, selectedId } from "./gallery.js";
import { urlOf } from "./images.js";
import { shortened } from "./long-text.js";
import { say } from "./messages.js";
import { warningsShown } from "./prompt-notes.js";
import { reveal } from "./reveal.js";
import { mask, prompt, requestNow, startImage } from "./settings.js";
import { backend } from "./this-server.js";
import { forget, remember, takeUnfinished } from "./unfinished.js";

export type Task = {
  key: number;
  prompt: string;
  /** Undefined until the backend has taken it. */
  settings: GenerationSettings | undefined;
  position: number | null;
  step: number;
  total: number;
  secondsLeft: number | null;
  lost: boolean;
  /** By index: where each image is going. */
  previews: readonly string[];
  stopping: boolean;
  /** Warnings that were given, most of them before it was sent: no message repeats them. */
  warned: ReadonlySet<string>;
};

export const tasks = signal<readonly Task[]>([]);
/** The one in the large view. */
export const current = computed(() => tasks.value.find(({ step }) => step > 0) ?? tasks.value[0]);
/** What is wrong with the last request, and with which setting. */
export const failure = signal<{ message: string; field: string | undefined } | undefined>(undefined);

/** What a generation began with. */
type Began = { image?: Blob; mask?: Blob };

const controllers = new Map<number, AbortController>();
let last = 0;

/** Generates what the form says. */
export async function generateNow(): Promise<void> {
  failure.value = undefined;
  if (prompt.value.trim() === "") {
    failure.value = { message: "Say first what to generate: a few words are enough.", field: "prompt" };
    document.getElementById("prompt")?.focus();
    return;
  }
  const began = {
    ...(startImage.value && { image: startImage.value }),
    ...(mask.value && { mask: mask.value }),
  };
  const { signal: stop, key } = begin(prompt.value, warningsShown());
  const request = await requestNow();
  await followed(key, backend.generate(request, stop), began, () => reveal(".stage"));
}

/** The tab says how far a generation is, for those who look elsewhere meanwhile. */
export function titleTasks(): void {
  effect(() => {
    const { step = 0, total = 0 } = current.value ?? {};
    document.title = current.value
      ? `${total === 0 ? 0 : Math.floor((100 * step) / total)} % · Koala`
      : "Koala";
  });
}

/** Follows what was being generated when the page was left, and no other tab follows. */
export async function takeUp(): Promise<void> {
  await Promise.all(
    (await takeUnfinished()).map((id) => {
      const { signal: stop, key } = begin("");
      return followed(key, backend.follow(id, stop), {});
    }),
  );
}

/** Cancels what is shown, or everything. */
export function cancel(which: "current" | "all" = "current"): void {
  for (const { key } of which === "all"
    ? tasks.value
    : [current.value].filter((task) => task !== undefined)) {
    update(key, { stopping: true });
    controllers.get(key)?.abort();
  }
}

function begin(text: string, warned: ReadonlySet<string> = new Set()) {
  const key = ++last;
  const controller = new AbortController();
  controllers.set(key, controller);
  const task: Task = {
    key,
    prompt: text,
    settings: undefined,
    position: null,
    step: 0,
    total: 0,
    secondsLeft: null,
    lost: false,
    previews: [],
    stopping: false,
    warned,
  };
  tasks.value = [...tasks.value, task];
  void select(undefined);
  return { key, signal: controller.signal };
}

async function followed(
  key: number,
  events: AsyncIterable<GenerationEvent>,
  began: Began,
  onAccepted = () => {},
): Promise<void> {
  let id: string | undefined;
  let first: string | undefined;
  let settled = true;
  try {
    for await (const event of events) {
      if (event.type === "accepted") {
        id = event.id;
        remember(id);
        onAccepted();
      }
      if (event.type === "image") {
        const name = `${id}-${event.image.index}`;
        await kept(key, name, event.image, began);
        first ??= name;
      } else update(key, changesBy(event, taskOf(key)?.previews ?? []));
    }
  } catch (error) {
    settled = !(error instanceof ServerUnreachable);
    report(error, id === undefined ? undefined : taskOf(key)?.prompt);
  } finally {
    tasks.value = tasks.value.filter((task) => task.key !== key);
    if (first !== undefined && tasks.value.length === 0 && selectedId.value === undefined) void select(first);
    controllers.delete(key);
    // What a lost connection hides may go on: the next visit looks for it.
    if (id !== undefined && settled) forget(id);
  }
}

/** `taken` is the prompt of a job that the server had taken: others are asked for meanwhile, so it is named. */
function report(error: unknown, taken: string | undefined): void {
  if (error instanceof Stopped) {
    say("note", "Stopped.");
    return;
  }
  const ours = error instanceof GenerationFailure;
  const message = ours ? error.message : `internal: ${String(error)}`;
  if (taken === undefined) failure.value = { message, field: ours ? error.field : undefined };
  else if (error instanceof ServerUnreachable) say("error", message);
  else say("error", `"${shortened(taken.trim())}" failed. ${message}`);
}

async function kept(key: number, id: string, image: FinishedImage, began: Began): Promise<void> {
  const task = taskOf(key);
  if (!task?.settings) return;
  const warnings = image.warnings.filter((warning) => !task.warned.has(warning));
  update(key, {
    previews: replaced(task.previews, image.index, urlOf(image.file)),
    warned: new Set([...task.warned, ...warnings]),
  });
  await keep(id, image, task.settings, began);
  if (warnings.length > 0) sayWarnings(id, task.settings.prompt, warnings);
}

/** One message for all: they stand with the image. */
function sayWarnings(id: string, prompt: string, warnings: readonly string[]): void {
  const several = `${warnings.length} warnings about "${shortened(prompt.trim())}".`;
  const show = () => select(id).then(() => reveal(".stage"));
  say("warning", warnings.length === 1 ? warnings[0]! : several, { label: "Show the image", act: show });
}

function changesBy(
  event: Exclude<GenerationEvent, { type: "image" }>,
  previews: Task["previews"],
): Partial<Task> {
  switch (event.type) {
    case "accepted":
      return { settings: event.settings, prompt: event.settings.prompt };
    case "queued":
      return { position: event.position };
    case "step":
      return { position: null, step: event.step, total: event.total, secondsLeft: event.secondsLeft };
    case "preview":
      return { previews: replaced(previews, event.index, event.url) };
    case "connection":
      return { lost: event.lost };
    default:
      return event satisfies never;
  }
}

function replaced(urls: readonly string[], index: number, url: string): string[] {
  const changed = [...urls];
  changed[index] = url;
  return changed;
}

const taskOf = (key: number): Task | undefined => tasks.value.find((task) => task.key === key);

function update(key: number, changes: Partial<Task>): void {
  tasks.value = tasks.value.map((task) => (task.key === key ? { ...task, ...changes } : task));
}
