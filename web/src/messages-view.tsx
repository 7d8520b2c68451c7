/** @file The messages at the page's foot, read out as they come. */

import { Icon } from "./icon.js";
import { dismiss, messages } from "./messages.js";

export function Messages() {
  return (
    <div class="messages" role="status" aria-live="polite">
      {messages.value.map(({ id, kind, text, action }) => (
        <div key={id} class={`message ${kind}`}>
          <p>{text}</p>
          {action && (
            <button
              type="button"
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
      ))}
    </div>
  );
}
