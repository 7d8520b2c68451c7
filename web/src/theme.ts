/** @file The colour theme: light, dark, or the system's. Kept in localStorage. */

import { signal } from "@preact/signals";

export const themes = ["system", "light", "dark"] as const;
export type Theme = (typeof themes)[number];

const storageKey = "koala.theme";
const saved = localStorage.getItem(storageKey);

export const theme = signal<Theme>(themes.find((known) => known === saved) ?? "system");

export function setTheme(chosen: Theme): void {
  theme.value = chosen;
  localStorage.setItem(storageKey, chosen);
  applyTheme();
}

/** CSS reads `data-theme`; without it the system decides. */
export function applyTheme(): void {
  if (theme.value === "system") delete document.documentElement.dataset.theme;
  else document.documentElement.dataset.theme = theme.value;
}
