/** @file The queue as a list: every job that waits or runs, each with its progress and a button that cancels it. */

import { Icon } from "./icon.js";
import { shortened } from "./long-text.js";
import { cancelWaiting, type QueueRow, queueRows, waitingTasks } from "./queue.js";

/** Nothing for a single job of this tab: it is in the large view. */
export function QueueList() {
  const rows = queueRows.value;
  if (rows.length === 0 || (rows.length === 1 && !rows[0]!.foreign)) return null;
  const waiting = waitingTasks.value.length;
  return (
    <section class="queue" aria-labelledby="queue-title">
      <div class="bar">
        <h2 id="queue-title">Queue</h2>
        <span class="quiet">{rows.length === 1 ? "1 job" : `${rows.length} jobs`}</span>
        {waiting > 0 && (
          <button type="button" class="quiet-button" onClick={cancelWaiting}>
            {waiting === 1 ? "Cancel the one that waits" : `Cancel the ${waiting} that wait`}
          </button>
        )}
      </div>
      <ol>
        {rows.map((row) => (
          <Row key={row.id} {...row} />
        ))}
      </ol>
    </section>
  );
}

function Row({ prompt, position, step, total, progress, stopping, foreign, cancel }: QueueRow) {
  const name = shortened(prompt.trim()) || "without a prompt";
  return (
    <li class={position === null ? "running" : undefined}>
      <span class="queued-prompt" title={name}>
        {name}
      </span>
      <span class="quiet">
        {foreign && <span title="From another tab, a grid or another client">Elsewhere · </span>}
        {progress}
      </span>
      {position === null && total > 0 && (
        <progress max={total} value={step} aria-label={`Progress of ${name}`} />
      )}
      <button
        type="button"
        class="icon"
        aria-label={`Cancel: ${name}`}
        title="Cancel"
        disabled={stopping}
        onClick={cancel}
      >
        <Icon name="close" />
      </button>
    </li>
  );
}
