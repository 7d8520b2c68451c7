/** @file The large view: the running generation, the selected image, or help for the first image. */

import type { ImageSize } from "../../src/image/pixels.js";
import { AboutModel } from "./about-model.js";
import { examplesOf } from "./examples.js";
import { select, selected, selectedFiles } from "./gallery.js";
import { Keys } from "./icon.js";
import { ImageView } from "./image-view.js";
import { LongText } from "./long-text.js";
import { progressText } from "./progress-text.js";
import { ReadSettingsButton } from "./read-settings-button.js";
import { height, model, prompt, width } from "./settings.js";
import { cancel, current, type Task, tasks } from "./tasks.js";

export function Preview() {
  const task = current.value;
  const saved = selected.value;
  return (
    <section class="preview" aria-label="Image">
      {saved ? (
        <ImageView image={saved} files={selectedFiles.value} />
      ) : task ? (
        <RunningTask task={task} />
      ) : (
        <Empty />
      )}
      {saved && task && (
        <button type="button" class="quiet-button" onClick={() => void select(undefined)}>
          {`Show what is generated now: ${progressText(task)}`}
        </button>
      )}
    </section>
  );
}

function RunningTask({ task }: { task: Task }) {
  const { settings, previews, stopping } = task;
  const size = settings ?? { width: width.value, height: height.value, count: 1 };
  const waiting = tasks.value.length - 1;
  return (
    <div class="generating">
      <div class={size.count > 1 ? "frames several" : "frames"}>
        {Array.from({ length: size.count }, (_, index) => (
          <Frame key={index} index={index} url={previews[index]} size={size} />
        ))}
      </div>
      <TaskProgress task={task} />
      <div class="actions">
        <button type="button" onClick={() => cancel()} disabled={stopping} aria-keyshortcuts="Escape">
          {stopping ? "Stopping…" : "Cancel"} <Keys>Esc</Keys>
        </button>
        {waiting > 0 && (
          <button type="button" onClick={() => cancel("all")}>
            {`Cancel all ${waiting + 1}`}
          </button>
        )}
      </div>
      <LongText class="quiet generated-prompt" text={task.prompt} />
    </div>
  );
}

function Frame({ index, url, size }: { index: number; url: string | undefined; size: ImageSize }) {
  return (
    <svg
      class="frame"
      viewBox={`0 0 ${size.width} ${size.height}`}
      role="img"
      aria-label={`Image ${index + 1}, being generated`}
    >
      <rect class="blank" width={size.width} height={size.height} />
      {url && <image href={url} width={size.width} height={size.height} preserveAspectRatio="none" />}
    </svg>
  );
}

function TaskProgress({ task }: { task: Task }) {
  const { step, total, position } = task;
  const text = progressText(task);
  return (
    <div class="progress">
      <progress
        max={total || 1}
        value={total === 0 || position !== null ? undefined : step}
        aria-label="Generating"
      />
      <p>{text}</p>
      <p class="visually-hidden" role="status">
        {announcement(task)}
      </p>
    </div>
  );
}

/** Read out at the start and at every quarter, not at every step. */
function announcement(task: Task): string {
  const { step, total, position, settings } = task;
  if (!settings || position !== null || step === 0 || total === 0) return progressText(task);
  return `${Math.floor((4 * step) / total) * 25} percent generated`;
}

function Empty() {
  const take = (example: string) => {
    prompt.value = example;
    document.getElementById("prompt")?.focus();
  };
  return (
    <div class="empty">
      <h2>Describe an image</h2>
      <AboutModel />
      <ul aria-label="Examples">
        {examplesOf(model.value?.words).map((example) => (
          <li key={example}>
            <button type="button" class="example" onClick={() => take(example)}>
              {example}
            </button>
          </li>
        ))}
      </ul>
      <p class="quiet">Or drop an image file here to read its settings, also if another program made it.</p>
      <ReadSettingsButton />
    </div>
  );
}
