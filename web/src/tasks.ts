/** @file What is being painted: one task per press of "Paint", each followed to its end and kept in the gallery. */

import { computed, signal } from "@preact/signals";
import type { Settings } from "../../src/serve/schemas.js";
import { keep, select, selectedId } from "./gallery.js";
import { HttpPainter } from "./http-painter.js";
import { say } from "./messages.js";
import { type PaintEvent, type Painter, PaintFailure, Stopped } from "./painter.js";
import { urlOf } from "./pictures.js";
import { mask, prompt, requestNow, startImage } from "./settings.js";

export const painter: Painter = new HttpPainter();

export type Task = {
  key: number;
  prompt: string;
  /** Undefined until the painter has taken it. */
  settings: Settings | undefined;
  position: number | null;
  step: number;
  total: number;
  secondsLeft: number | null;
  lost: boolean;
  /** By index: where each picture is going. */
  previews: readonly string[];
  stopping: boolean;
};

export const tasks = signal<readonly Task[]>([]);
/** The one in the large view. */
export const current = computed(() => tasks.value.find(({ step }) => step > 0) ?? tasks.value[0]);
/** What is wrong with the last request, and with which setting. */
export const failure = signal<{ message: string; field: string | undefined } | undefined>(undefined);

const controllers = new Map<number, AbortController>();
let last = 0;

/** Paints what the form says. */
export async function paintNow(): Promise<void> {
  failure.value = undefined;
  if (prompt.value.trim() === "") {
    failure.value = { message: "Say first what to paint: a few words are enough.", field: "prompt" };
    document.getElementById("prompt")?.focus();
    return;
  }
  const began = {
    ...(startImage.value && { image: startImage.value }),
    ...(mask.value && { mask: mask.value }),
  };
  const { signal: stop, key } = begin(prompt.value);
  const request = await requestNow();
  await followed(key, painter.paint(request, stop), began);
}

/** Follows what was being painted when the page was left. */
export async function takeUp(): Promise<void> {
  const ids = unfinished();
  localStorage.removeItem(storageKey);
  await Promise.all(
    ids.map((id) => {
      const { signal: stop, key } = begin("");
      return followed(key, painter.follow(id, stop), {});
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

function begin(text: string) {
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
  };
  tasks.value = [...tasks.value, task];
  void select(undefined);
  return { key, signal: controller.signal };
}

async function followed(
  key: number,
  events: AsyncIterable<PaintEvent>,
  began: { image?: Blob; mask?: Blob },
): Promise<void> {
  let id: string | undefined;
  let first: string | undefined;
  try {
    for await (const event of events) {
      if (event.type === "accepted") {
        id = event.id;
        remember(id);
      }
      const kept = await take(key, event, began);
      if (kept !== undefined && tasks.value.length === 1 && selectedId.value === undefined)
        await select(kept);
    }
  } catch (error) {
    if (error instanceof PaintFailure) failure.value = { message: error.message, field: error.field };
    else if (!(error instanceof Stopped)) {
      failure.value = { message: `internal: ${String(error)}`, field: undefined };
    } else say("note", "Stopped.");
  } finally {
    if (first !== undefined && tasks.value.length === 1 && selectedId.value === undefined)
      await select(first);
    tasks.value = tasks.value.filter((task) => task.key !== key);
    controllers.delete(key);
    if (id !== undefined) forget(id);
  }
}

/** Gives the id of a picture that was kept. */
async function take(key: number, event: PaintEvent, began: { image?: Blob; mask?: Blob }) {
  const task = tasks.value.find((other) => other.key === key);
  if (!task) return undefined;
  switch (event.type) {
    case "accepted":
      update(key, { settings: event.settings, prompt: event.settings.prompt });
      return undefined;
    case "queued":
      update(key, { position: event.position });
      return undefined;
    case "step":
      update(key, { position: null, step: event.step, total: event.total, secondsLeft: event.secondsLeft });
      return undefined;
    case "preview":
      update(key, { previews: replaced(task.previews, event.index, event.url) });
      return undefined;
    case "picture":
      update(key, { previews: replaced(task.previews, event.picture.index, urlOf(event.picture.file)) });
      return keep(event.picture, task.settings!, began);
    case "connection":
      update(key, { lost: event.lost });
      return undefined;
    default:
      return event satisfies never;
  }
}

function replaced(urls: readonly string[], index: number, url: string): string[] {
  const changed = [...urls];
  changed[index] = url;
  return changed;
}

function update(key: number, changes: Partial<Task>): void {
  tasks.value = tasks.value.map((task) => (task.key === key ? { ...task, ...changes } : task));
}

const storageKey = "koala.painting";

function unfinished(): string[] {
  try {
    const ids: unknown = JSON.parse(localStorage.getItem(storageKey) ?? "[]");
    return Array.isArray(ids) ? ids.filter((id) => typeof id === "string" && /^[\w-]{8,64}$/.test(id)) : [];
  } catch {
    return [];
  }
}

const remember = (id: string) => localStorage.setItem(storageKey, JSON.stringify([...unfinished(), id]));
const forget = (id: string) =>
  localStorage.setItem(storageKey, JSON.stringify(unfinished().filter((other) => other !== id)));
