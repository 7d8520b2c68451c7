/** @file Opens one more model in the tab, by its id on the Hub, and shows those that the browser keeps. */

import { signal } from "@preact/signals";
import { useEffect } from "preact/hooks";
import { byteSize } from "../../src/byte-size.js";
import type { DownloadedModel } from "../../src/hub/downloaded-models.js";
import type { AddEvent } from "../../src/tab/protocol.js";
import { GenerationCancelled, type OwnModels } from "./backend.js";
import { duration } from "./duration.js";
import { chooseModel, model, served } from "./settings.js";

/** What is done at the moment, and what stops it. */
const doing = signal<{ text: string; stop: AbortController } | undefined>(undefined);
const problem = signal<string | undefined>(undefined);
/** A model that waits for an answer, and the bytes of its download. */
const question = signal<{ name: string; bytes: number } | undefined>(undefined);
const stored = signal<readonly DownloadedModel[]>([]);

/** No form of its own: it is inside that of the settings. */
const field = (id: string) => document.getElementById(id) as HTMLInputElement;

function textOf(name: string, event: AddEvent): string {
  if ("text" in event) return event.text;
  const { done, total, secondsLeft } = event;
  const left = secondsLeft === null ? "" : ` · ${duration(secondsLeft)} left`;
  return `Downloading ${name}: ${byteSize(done)} of ${byteSize(total)}${left}`;
}

async function open(models: OwnModels, name: string, agreed: boolean): Promise<void> {
  if (name === "" || doing.value !== undefined) return;
  const stop = new AbortController();
  [problem.value, question.value] = [undefined, undefined];
  doing.value = { text: `Opening ${name}…`, stop };
  try {
    const request = { name, agreed, token: field("hub-token").value.trim() || undefined };
    const onEvent = (event: AddEvent) => (doing.value = { text: textOf(name, event), stop });
    const added = await models.add(request, { signal: stop.signal, onEvent });
    if ("bytes" in added) question.value = { name, bytes: added.bytes };
    else {
      served.value = added.list;
      chooseModel(added.id);
      field("added-model").value = "";
    }
  } catch (error) {
    const text = error instanceof Error ? error.message : String(error);
    problem.value =
      error instanceof GenerationCancelled ? "Stopped. What was downloaded is kept: open it to go on." : text;
  }
  doing.value = undefined;
  await list(models);
}

const list = async (models: OwnModels) => void (stored.value = await models.stored().catch(() => []));

async function remove(models: OwnModels, id: string): Promise<void> {
  try {
    const chosen = model.value?.id;
    served.value = await models.remove(id);
    if (model.value && model.value.id !== chosen) chooseModel(model.value.id);
  } catch (error) {
    problem.value = error instanceof Error ? error.message : String(error);
  }
  await list(models);
}

export function AddModel({ models }: { models: OwnModels }) {
  useEffect(() => void list(models), [models]);
  const busy = doing.value !== undefined;
  const openNamed = () => void open(models, field("added-model").value.trim(), false);
  return (
    <div class="field added-model">
      <label for="added-model">Another model</label>
      <div class="row">
        <input
          id="added-model"
          placeholder="owner/name"
          spellcheck={false}
          autocapitalize="off"
          aria-describedby="added-model-hint"
          aria-invalid={problem.value === undefined ? undefined : "true"}
          onKeyDown={(event) => {
            if (event.key !== "Enter" || event.ctrlKey || event.metaKey) return;
            event.preventDefault();
            openNamed();
          }}
        />
        <button type="button" disabled={busy} onClick={openNamed}>
          Open
        </button>
      </div>
      <p
        id="added-model-hint"
        class={problem.value === undefined ? "hint" : "hint problem"}
        role={problem.value === undefined ? "status" : "alert"}
      >
        {problem.value ?? doing.value?.text ?? (question.value ? asked(question.value) : hint)}
      </p>
      <div class="row">
        {question.value && !busy && <Answers models={models} name={question.value.name} />}
        {doing.value && (
          <button type="button" onClick={() => doing.value?.stop.abort()}>
            Stop
          </button>
        )}
      </div>
      <details>
        <summary>A gated model</summary>
        <label for="hub-token">Its access token</label>
        <input id="hub-token" type="password" autocomplete="off" placeholder="hf_…" />
        <p class="hint">From huggingface.co/settings/tokens; it is sent there alone, and not kept.</p>
      </details>
      <StoredModels models={models} />
    </div>
  );
}

const hint = "KOALA, SDXL or Stable Diffusion by its id on huggingface.co.";
const asked = ({ name, bytes }: { name: string; bytes: number }) =>
  `${name} is ${byteSize(bytes)} to download, which this browser keeps until you delete it.`;

function Answers({ models, name }: { models: OwnModels; name: string }) {
  return (
    <>
      <button type="button" class="primary" onClick={() => void open(models, name, true)}>
        Download
      </button>
      <button type="button" onClick={() => (question.value = undefined)}>
        Cancel
      </button>
    </>
  );
}

function StoredModels({ models }: { models: OwnModels }) {
  if (stored.value.length === 0) return null;
  return (
    <>
      <p class="hint">In this browser:</p>
      <ul class="stored-models" aria-label="Models in this browser">
        {stored.value.map(({ id, bytes }) => (
          <li key={id} class="row">
            <span>
              {id} <span class="quiet">{byteSize(bytes)}</span>
            </span>
            <button
              type="button"
              aria-label={`Delete ${id}`}
              disabled={doing.value !== undefined}
              onClick={() => void remove(models, id)}
            >
              Delete
            </button>
          </li>
        ))}
      </ul>
    </>
  );
}
