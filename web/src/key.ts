/** @file The API key that the visitor entered, kept until the tab is closed. */

import { signal } from "@preact/signals";

const storageKey = "koala.key";

export const key = signal<string | undefined>(sessionStorage.getItem(storageKey) ?? undefined);

export function setKey(given: string): void {
  key.value = given;
  sessionStorage.setItem(storageKey, given);
}
