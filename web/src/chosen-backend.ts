/** @file Where this page's images are generated: by the server that it was loaded from, or in this tab. */

import type { Backend } from "./backend.js";
import { HttpBackend } from "./http-backend.js";
import { key } from "./key.js";
import { TabBackend } from "./tab-backend.js";

export type Place = "server" | "tab";

const storageKey = "koala.place";

/** A static site has no server. */
export const hasServer = import.meta.env.MODE !== "site";

export const place: Place = hasServer && localStorage.getItem(storageKey) !== "tab" ? "server" : "tab";

export const backend: Backend =
  place === "tab" ? new TabBackend(new URL("./", document.baseURI)) : new HttpBackend(() => key.value);

/** Loads the page anew, which generates there from now on. */
export function choosePlace(chosen: Place): void {
  localStorage.setItem(storageKey, chosen);
  location.reload();
}
