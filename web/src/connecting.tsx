/** @file Before the page can be used: asking the server for its models, and the visitor for its key. */

import { signal } from "@preact/signals";
import { KeyNeeded } from "./backend.js";
import { key, setKey } from "./key.js";
import { startSettings } from "./settings.js";
import { backend } from "./this-server.js";

type Start = { state: "loading" | "ready" | "key" } | { state: "failed"; message: string };
export const start = signal<Start>({ state: "loading" });

/** Whether the page can be used now. */
export async function ask(): Promise<boolean> {
  start.value = { state: "loading" };
  try {
    startSettings(await backend.models());
    start.value = { state: "ready" };
    return true;
  } catch (error) {
    if (error instanceof KeyNeeded) start.value = { state: "key" };
    else start.value = { state: "failed", message: error instanceof Error ? error.message : String(error) };
    return false;
  }
}

export function Starting({ again }: { again: () => void }) {
  const { value } = start;
  if (value.state === "key") return <KeyForm again={again} />;
  if (value.state !== "failed") return <p class="starting quiet">Asking the server what it can generate…</p>;
  return (
    <div class="starting" role="alert">
      <p>{value.message}</p>
      <button type="button" class="primary" onClick={again}>
        Try again
      </button>
    </div>
  );
}

function KeyForm({ again }: { again: () => void }) {
  const refused = key.value !== undefined;
  const onSubmit = (event: SubmitEvent) => {
    event.preventDefault();
    const given = new FormData(event.currentTarget as HTMLFormElement).get("key");
    setKey(typeof given === "string" ? given : "");
    again();
  };
  return (
    <form class="starting key" onSubmit={onSubmit}>
      <div class="field">
        <label for="key">The key of this server</label>
        <input
          id="key"
          name="key"
          type="password"
          autocomplete="current-password"
          required
          aria-describedby="key-hint"
        />
        <p id="key-hint" class={refused ? "hint problem" : "hint"} role={refused ? "alert" : undefined}>
          {refused
            ? "That is another key. Whoever started the server knows it."
            : "It was given to koala serve as --api-key. It is kept until this tab is closed."}
        </p>
      </div>
      <button type="submit" class="primary">
        Go on
      </button>
    </form>
  );
}
