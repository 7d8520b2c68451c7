/** @file The tasks of this tab: one for each press of "Generate", followed until its images are in the gallery. */

import { computed, effect, signal } from "@preact/signals";
import type { GenerationRequest, GenerationSettings } from "../../src/jobs/schemas.js";
import {
  type FinishedImage,
  GenerationCancelled,
  type GenerationEvent,
  GenerationFailure,
  ServerUnreachable,
} from "./backend.js";
import { backend } from "./chosen-backend.js";
import { addToGallery, select, selectedId } from "./gallery.js";
import { urlOf } from "./images.js";
import { shortened } from "./long-text.js";
import { showMessage } from "./messages.js";
import { warningsShown } from "./prompt-notes.js";
import { reveal } from "./reveal.js";
import { type InitFiles, initImage, mask, prompt, requestNow } from "./settings.js";
import { addUnfinished, claimUnfinished, removeUnfinished } from "./unfinished.js";

export type Task = {
  key: number;
  /** The job's id, once the backend has accepted the request. */
  id: string | undefined;
  prompt: string;
  /** Undefined until the backend has accepted the request. */
  settings: GenerationSettings | undefined;
  position: number | null;
  step: number;
  total: number;
  secondsLeft: number | null;
  lost: boolean;
  /** What it waits for before its first step. */
  status: string | null;
  /** The URL of each image's preview, by index. */
  previews: readonly string[];
  stopping: boolean;
  /** Warnings that were already shown, most of them beside the prompt; no message repeats them. */
  warned: ReadonlySet<string>;
};

export const tasks = signal<readonly Task[]>([]);
/** The task in the large view. */
export const current = computed(() => tasks.value.find(({ step }) => step > 0) ?? tasks.value[0]);
/** The problem with the last request, and the setting that it concerns. */
export const failure = signal<{ message: string; field: string | undefined } | undefined>(undefined);

/** Ids of the jobs that this tab follows, or followed to their end. */
export const ownJobs = new Set<string>();

const controllers = new Map<number, AbortController>();
let last = 0;

/** Generates what the form describes. */
export async function generateNow(): Promise<void> {
  failure.value = undefined;
  if (prompt.value.trim() === "") {
    failure.value = { message: "Describe the image first. A few words are enough.", field: "prompt" };
    document.getElementById("prompt")?.focus();
    return;
  }
  const initFiles = {
    ...(initImage.value && { image: initImage.value }),
    ...(mask.value && { mask: mask.value }),
  };
  await generateTask(prompt.value, requestNow, initFiles, warningsShown());
}

/** Generates what `request` returns, in a task of its own. */
export async function generateTask(
  text: string,
  request: () => Promise<GenerationRequest>,
  initFiles: InitFiles,
  warned?: ReadonlySet<string>,
): Promise<void> {
  const { signal: stop, key } = addTask(text, warned);
  await follow(key, backend.generate(await request(), stop), initFiles, () => reveal(".preview"));
}

/** Shows the progress in the title, which is visible while another tab is open. */
export function showProgressInTitle(): void {
  effect(() => {
    const { step = 0, total = 0 } = current.value ?? {};
    document.title = current.value
      ? `${total === 0 ? 0 : Math.floor((100 * step) / total)} % · Koala`
      : "Koala";
  });
}

/** Follows the unfinished jobs of earlier visits that no other tab follows. */
export async function resumeTasks(): Promise<void> {
  await Promise.all(
    (await claimUnfinished()).map((id) => {
      const { signal: stop, key } = addTask("");
      return follow(key, backend.follow(id, stop), {});
    }),
  );
}

/** Cancels the task in the large view, or all tasks. */
export function cancel(which: "current" | "all" = "current"): void {
  const chosen = which === "all" ? tasks.value : [current.value].filter((task) => task !== undefined);
  for (const { key } of chosen) cancelTask(key);
}

export function cancelTask(key: number): void {
  update(key, { stopping: true });
  controllers.get(key)?.abort();
}

function addTask(text: string, warned: ReadonlySet<string> = new Set()) {
  const key = ++last;
  const controller = new AbortController();
  controllers.set(key, controller);
  const task: Task = {
    key,
    id: undefined,
    prompt: text,
    settings: undefined,
    position: null,
    step: 0,
    total: 0,
    secondsLeft: null,
    lost: false,
    status: null,
    previews: [],
    stopping: false,
    warned,
  };
  tasks.value = [...tasks.value, task];
  void select(undefined);
  return { key, signal: controller.signal };
}

async function follow(
  key: number,
  events: AsyncIterable<GenerationEvent>,
  initFiles: InitFiles,
  onAccepted = () => {},
): Promise<void> {
  let id: string | undefined;
  let first: string | undefined;
  let ended = true;
  try {
    for await (const event of events) {
      if (event.type === "accepted") {
        id = event.id;
        ownJobs.add(id);
        addUnfinished(id);
        onAccepted();
      }
      if (event.type === "image") {
        const name = `${id}-${event.image.index}`;
        await saveImage(key, name, event.image, initFiles);
        first ??= name;
      } else update(key, changesBy(event, taskOf(key)?.previews ?? []));
    }
  } catch (error) {
    ended = !(error instanceof ServerUnreachable);
    if (!ended && id !== undefined) ownJobs.delete(id);
    report(error, id === undefined ? undefined : taskOf(key)?.prompt);
  } finally {
    tasks.value = tasks.value.filter((task) => task.key !== key);
    if (first !== undefined && tasks.value.length === 0 && selectedId.value === undefined) void select(first);
    controllers.delete(key);
    // Without a connection, the job may still be running: the next visit follows it.
    if (id !== undefined && ended) removeUnfinished(id);
  }
}

/** `accepted` is the prompt of a job that the server had accepted; others may be running, so the message quotes it. */
function report(error: unknown, accepted: string | undefined): void {
  if (error instanceof GenerationCancelled) {
    showMessage("note", "Stopped.");
    return;
  }
  const known = error instanceof GenerationFailure;
  const message = known ? error.message : `internal: ${String(error)}`;
  if (accepted === undefined) failure.value = { message, field: known ? error.field : undefined };
  else if (error instanceof ServerUnreachable) showMessage("error", message);
  else showMessage("error", `"${shortened(accepted.trim())}" failed. ${message}`);
}

async function saveImage(key: number, id: string, image: FinishedImage, initFiles: InitFiles): Promise<void> {
  const task = taskOf(key);
  if (!task?.settings) return;
  const warnings = image.warnings.filter((warning) => !task.warned.has(warning));
  update(key, {
    previews: replaced(task.previews, image.index, urlOf(image.file)),
    warned: new Set([...task.warned, ...warnings]),
  });
  await addToGallery(id, image, task.settings, initFiles);
  if (warnings.length > 0) showWarnings(id, task.settings.prompt, warnings);
}

/** One message for all warnings: they are listed with the image. */
function showWarnings(id: string, prompt: string, warnings: readonly string[]): void {
  const several = `${warnings.length} warnings about "${shortened(prompt.trim())}".`;
  const show = () => select(id).then(() => reveal(".preview"));
  showMessage("warning", warnings.length === 1 ? warnings[0]! : several, {
    label: "Show the image",
    act: show,
  });
}

function changesBy(
  event: Exclude<GenerationEvent, { type: "image" }>,
  previews: Task["previews"],
): Partial<Task> {
  switch (event.type) {
    case "accepted":
      return { id: event.id, settings: event.settings, prompt: event.settings.prompt };
    case "queued":
      return { position: event.position };
    case "status":
      return { status: event.text };
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
