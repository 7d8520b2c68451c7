/** @file The list of messages at the page's foot: notes, warnings and errors, each with an optional action such as Undo. */

import { signal } from "@preact/signals";

export type Message = {
  id: number;
  kind: "note" | "warning" | "error";
  text: string;
  /** How often the same text was added while it was shown. */
  times: number;
  action?: { label: string; act: () => void | Promise<void> };
};

export const messages = signal<readonly Message[]>([]);

let last = 0;

/** Notes disappear after at least 8 s; warnings and errors stay until they are dismissed. */
export function showMessage(kind: Message["kind"], text: string, action?: Message["action"]): void {
  const id = ++last;
  const before = messages.value.find((message) => message.text === text);
  const message = { id, kind, text, times: (before?.times ?? 0) + 1, ...(action && { action }) };
  messages.value = [...messages.value.filter((other) => other !== before), message];
  if (kind === "note") expire(id, Math.max(8000, 80 * text.length));
}

export function dismiss(id: number): void {
  messages.value = messages.value.filter((message) => message.id !== id);
}

export function dismissAll(): void {
  messages.value = [];
}

/** Nothing disappears while the pointer or the focus is on the messages. */
function expire(id: number, ms: number): void {
  const held = () => document.querySelector(".messages:is(:hover, :focus-within)") !== null;
  setTimeout(() => (held() ? expire(id, 2000) : dismiss(id)), ms);
}
