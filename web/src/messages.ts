/** @file Short messages at the page's foot: what happened, what went wrong, what can be taken back. None is lost. */

import { signal } from "@preact/signals";

export type Message = {
  id: number;
  kind: "note" | "warning" | "error";
  text: string;
  /** How often it was said while it stood there. */
  times: number;
  action?: { label: string; act: () => void | Promise<void> };
};

export const messages = signal<readonly Message[]>([]);

let last = 0;

/** Notes go by themselves once they can have been read; warnings and errors stay until they are dismissed. */
export function say(kind: Message["kind"], text: string, action?: Message["action"]): void {
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

/** Nothing goes while someone points at the messages or has gone to them by keys. */
function expire(id: number, ms: number): void {
  const held = () => document.querySelector(".messages:is(:hover, :focus-within)") !== null;
  setTimeout(() => (held() ? expire(id, 2000) : dismiss(id)), ms);
}
