/** @file A modal dialog: the browser's `<dialog>`, which keeps the focus inside and closes on Escape. */

import type { Signal } from "@preact/signals";
import type { ComponentChildren } from "preact";
import { useEffect, useRef } from "preact/hooks";
import { Icon } from "./icon.js";

type Props = {
  open: Signal<boolean>;
  title: string;
  class: string;
  onKeyDown?: (event: KeyboardEvent) => void;
  children: ComponentChildren;
};

/** The children are mounted only while it is open. */
export function Dialog({ open, title, class: kind, onKeyDown, children }: Props) {
  const dialog = useRef<HTMLDialogElement>(null);
  const shown = open.value;
  useEffect(() => {
    if (shown) dialog.current?.showModal();
  }, [shown]);
  if (!shown) return null;
  return (
    <dialog
      ref={dialog}
      class={kind}
      aria-label={title}
      onKeyDown={onKeyDown}
      onClose={() => (open.value = false)}
    >
      <div class="dialog-head">
        <h2>{title}</h2>
        <button type="button" class="icon" aria-label="Close" onClick={() => dialog.current?.close()}>
          <Icon name="close" />
        </button>
      </div>
      {children}
    </dialog>
  );
}
