/** @file The messages at the foot of the page: the latest three, and the others on request. */

import { signal } from "@preact/signals";
import { Icon } from "./icon.js";
import { LongText } from "./long-text.js";
import { dismiss, dismissAll, type Message, messages } from "./messages.js";

const maxShown = 3;
const showAll = signal(false);

export function Messages() {
  const all = messages.value;
  const hidden = showAll.value ? 0 : Math.max(0, all.length - maxShown);
  return (
    <div class="messages">
      {all.length > maxShown && (
        <div class="messages-bar">
          <button type="button" aria-expanded={hidden === 0} onClick={() => (showAll.value = hidden > 0)}>
            {hidden > 0 ? `${hidden} more` : "Show fewer"}
          </button>
          <button type="button" onClick={dismissAll}>
            {`Dismiss all ${all.length}`}
          </button>
        </div>
      )}
      <div class="messages-list" role="status" aria-live="polite">
        {all.slice(hidden).map((message) => (
          <OneMessage key={message.id} {...message} />
        ))}
      </div>
    </div>
  );
}

function OneMessage({ id, kind, text, times, action }: Message) {
  return (
    <div class={`message ${kind}`}>
      {kind !== "note" && <Icon name="warning" />}
      <LongText text={times > 1 ? `${text} (${times} times)` : text} />
      {action && (
        <button
          type="button"
          class="action"
          onClick={() => {
            dismiss(id);
            void action.act();
          }}
        >
          {action.label}
        </button>
      )}
      <button type="button" class="icon" aria-label="Dismiss" onClick={() => dismiss(id)}>
        <Icon name="close" />
      </button>
    </div>
  );
}
