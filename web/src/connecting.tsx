/** @file The connection to the server: its models are fetched first, and an API key is asked for if it requires one. */

import { signal } from "@preact/signals";
import { KeyRequired } from "./backend.js";
import { backend, place } from "./chosen-backend.js";
import { key, setKey } from "./key.js";
import { initSettings } from "./settings.js";

type ConnectionState = { state: "loading" | "ready" | "key" } | { state: "failed"; message: string };
export const connection = signal<ConnectionState>({ state: "loading" });

/** Fetches the models. Returns whether the page can be used now. */
export async function connect(): Promise<boolean> {
  connection.value = { state: "loading" };
  try {
    initSettings(await backend.models());
    connection.value = { state: "ready" };
    return true;
  } catch (error) {
    if (error instanceof KeyRequired) connection.value = { state: "key" };
    else
      connection.value = { state: "failed", message: error instanceof Error ? error.message : String(error) };
    return false;
  }
}

export function ConnectionStatus({ retry }: { retry: () => void }) {
  const { value } = connection;
  if (value.state === "key") return <KeyForm retry={retry} />;
  if (value.state !== "failed")
    return <p class="connecting quiet">{place === "tab" ? "Loading…" : "Connecting to the server…"}</p>;
  return (
    <div class="connecting" role="alert">
      <p>{value.message}</p>
      <button type="button" class="primary" onClick={retry}>
        Try again
      </button>
    </div>
  );
}

function KeyForm({ retry }: { retry: () => void }) {
  const rejected = key.value !== undefined;
  const onSubmit = (event: SubmitEvent) => {
    event.preventDefault();
    const given = new FormData(event.currentTarget as HTMLFormElement).get("key");
    setKey(typeof given === "string" ? given : "");
    retry();
  };
  return (
    <form class="connecting key" onSubmit={onSubmit}>
      <div class="field">
        <label for="key">API key</label>
        <input
          id="key"
          name="key"
          type="password"
          autocomplete="current-password"
          required
          aria-describedby="key-hint"
        />
        <p id="key-hint" class={rejected ? "hint problem" : "hint"} role={rejected ? "alert" : undefined}>
          {rejected
            ? "The server does not accept this key. Ask the person who runs the server."
            : "This server was started with koala serve --api-key. The key is kept until this tab is closed."}
        </p>
      </div>
      <button type="submit" class="primary">
        Connect
      </button>
    </form>
  );
}
