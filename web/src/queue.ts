/**
 * @file The server's queue: this tab's tasks, which events keep up to date, and the jobs of other tabs and clients, which
 * are asked for while there are any.
 */

import { computed, effect, signal } from "@preact/signals";
import type { Job } from "../../src/jobs/schemas.js";
import { backend } from "./chosen-backend.js";
import { showMessage } from "./messages.js";
import { progressText } from "./progress-text.js";
import { cancelTask, ownJobs, tasks } from "./tasks.js";

export type QueueRow = {
  id: string;
  prompt: string;
  /** While it waits: 1 is generated next. */
  position: number | null;
  step: number;
  total: number;
  progress: string;
  stopping: boolean;
  /** Of another tab, a grid or another client. */
  foreign: boolean;
  cancel: () => void;
};

const pollMs = 3000;

/** As the server last listed them. */
const listed = signal<readonly Job[]>([]);
/** Ids of other clients' jobs that were cancelled here. */
const stopping = signal<ReadonlySet<string>>(new Set());

/** What runs first, then what waits in its order. */
export const queueRows = computed((): readonly QueueRow[] => {
  const others = listed.value.filter(({ id }) => !ownJobs.has(id));
  const rows = [...tasks.value.map(ownRow), ...others.map(foreignRow)];
  return rows.sort((a, b) => (a.position ?? 0) - (b.position ?? 0));
});

/** This tab's jobs that wait. */
export const waitingTasks = computed(() =>
  tasks.value.filter(({ position, stopping }) => position !== null && !stopping),
);

function ownRow(task: (typeof tasks.value)[number]): QueueRow {
  const { key, prompt, position, step, total, stopping } = task;
  const progress = progressText(task);
  const cancel = () => cancelTask(key);
  return { id: `own ${key}`, prompt, position, step, total, progress, stopping, foreign: false, cancel };
}

function foreignRow(job: Job): QueueRow {
  const { id, settings, position, step, total } = job;
  const isStopping = stopping.value.has(id);
  const progress = progressText({ ...job, lost: false, status: null, stopping: isStopping });
  const cancel = () => void cancelForeign(id);
  const { prompt } = settings;
  return { id, prompt, position, step, total, progress, stopping: isStopping, foreign: true, cancel };
}

async function cancelForeign(id: string): Promise<void> {
  stopping.value = new Set([...stopping.value, id]);
  try {
    await backend.cancelJob(id);
  } catch (error) {
    showMessage("error", error instanceof Error ? error.message : String(error));
    stopping.value = new Set([...stopping.value].filter((other) => other !== id));
  }
  await refresh();
}

export function cancelWaiting(): void {
  for (const { key } of waitingTasks.value) cancelTask(key);
}

let timer: ReturnType<typeof setTimeout> | undefined;

/** Lists the server's jobs now, whenever this tab's tasks come or go, and then while there are any. */
export function watchQueue(): void {
  if (timer !== undefined) return;
  const keys = computed(() => tasks.value.map(({ key, id }) => `${key} ${id}`).join());
  effect(() => {
    void keys.value;
    schedule(200);
  });
  document.addEventListener("visibilitychange", () => schedule(200));
}

function schedule(ms: number): void {
  clearTimeout(timer);
  timer = setTimeout(() => void refresh(), ms);
}

async function refresh(): Promise<void> {
  clearTimeout(timer);
  if (document.hidden) return;
  // Not worth a message: a lost server is reported where something is sent to it.
  listed.value = await backend.unfinishedJobs().catch(() => []);
  if (listed.value.length > 0 || tasks.value.length > 0) schedule(pollMs);
}
