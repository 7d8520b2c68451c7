/** @file Where this page's images are generated: by the server that it was loaded from, or in this tab. */

import { signal } from "@preact/signals";
import type { Backend } from "./backend.js";
import { HttpBackend } from "./http-backend.js";
import { key } from "./key.js";
import { showMessage } from "./messages.js";
import { TabBackend } from "./tab-backend.js";

export type Place = "server" | "tab";

const storageKey = "koala.place";

/** A static site has no server. */
export const hasServer = import.meta.env.MODE !== "site";

export const place: Place = hasServer && localStorage.getItem(storageKey) !== "tab" ? "server" : "tab";

export const backend: Backend =
  place === "tab"
    ? new TabBackend(new URL("./", document.baseURI), (problem, forget) =>
        showMessage("warning", problem, { label: "Remove the model", act: forget }),
      )
    : new HttpBackend(() => key.value);

/** Whether this server has what a page needs to generate in the tab. */
export const offersTab = signal(false);
if (hasServer && isSecureContext)
  void fetch(new URL("tab.json", document.baseURI), { method: "HEAD", credentials: "omit" })
    .then(({ ok }) => (offersTab.value = ok))
    .catch(() => {});

/** Loads the page anew, which generates there from now on. */
export function choosePlace(chosen: Place): void {
  localStorage.setItem(storageKey, chosen);
  location.reload();
}
