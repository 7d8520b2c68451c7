/** @file The models that a visitor adds to a tab: downloaded once that is agreed to, opened, listed and deleted. */

import { Cancelled } from "../errors.js";
import type { PendingDownload } from "../hub/fetch.js";
import { hubPath, isHubId } from "../hub/name.js";
import { resolveModel } from "../hub/resolve.js";
import { openModelRegistry, type ServedModel } from "../jobs/model-registry.js";
import type { Placements } from "../jobs/placements.js";
import type { AddEvent, AddedModel, AddModel } from "./protocol.js";

type Models = { models: Map<string, ServedModel>; placements: Placements };
type Download = { emit: (event: AddEvent) => void; signal: AbortSignal | undefined };

/** Opens a model; of one that is yet to be downloaded the bytes, unless that is agreed to. */
export async function addTo(
  { models, placements }: Models,
  { name, token, agreed }: AddModel,
  { emit, signal }: Download,
): Promise<Omit<AddedModel, "list"> | { bytes: number }> {
  emit({ text: `Looking for ${name}…` });
  let pending: PendingDownload | undefined;
  const confirmDownload = (download: PendingDownload) => {
    pending = download;
    return agreed;
  };
  try {
    const options = { token, signal, confirmDownload, onProgress: progressOf(emit) };
    const folder = await resolveModel(name, options);
    emit({ text: `Opening ${name}…` });
    const [[id, model]] = [...(await openModelRegistry([folder], { placements }))] as [[string, ServedModel]];
    models.set(id, model);
    return { id, name: pinned(name, folder) };
  } catch (error) {
    if (pending && !agreed && error instanceof Cancelled) return { bytes: pending.bytes };
    throw error;
  }
}

/** With the time that is left at the speed since the first byte of this download. */
function progressOf(emit: Download["emit"]) {
  let began: { time: number; done: number } | undefined;
  return ({ done, total }: { done: number; total: number }) => {
    const time = performance.now();
    began ??= { time, done };
    const speed = (done - began.done) / (time - began.time);
    emit({ done, total, secondsLeft: speed > 0 ? (total - done) / speed / 1000 : null });
  };
}

/** The name with its commit, so that later visits ask the Hub for nothing and download nothing new. */
function pinned(name: string, folder: string): string {
  const commit = /\/snapshots\/([0-9a-f]{40})(\/|$)/.exec(folder)?.[1];
  if (commit === undefined || !isHubId(name.split("/").slice(0, 2).join("/"))) return name;
  const { id, inside } = hubPath("model", name);
  return `${id}@${commit}${inside && `/${inside}`}`;
}
