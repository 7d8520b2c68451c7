/** @file Short messages at the page's foot: what happened, what went wrong, what can be taken back. */

import { signal } from "@preact/signals";

export type Message = {
  id: number;
  kind: "note" | "error";
  text: string;
  action?: { label: string; act: () => void | Promise<void> };
};

export const messages = signal<readonly Message[]>([]);

let last = 0;

/** Notes go by themselves, when there was time to read them; errors are dismissed. */
export function say(kind: Message["kind"], text: string, action?: Message["action"]): void {
  const id = ++last;
  const others = messages.value.filter((message) => message.text !== text).slice(-2);
  messages.value = [...others, { id, kind, text, ...(action && { action }) }];
  if (kind === "note") setTimeout(() => dismiss(id), Math.max(8000, 60 * text.length));
}

export function dismiss(id: number): void {
  messages.value = messages.value.filter((message) => message.id !== id);
}
