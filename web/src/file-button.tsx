/** @file A button that opens the file chooser. */

import { Icon, type IconName } from "./icon.js";

type Props = { id: string; icon: IconName; label: string; accept: string; onFile: (file: File) => void };

export function FileButton({ id, icon, label, accept, onFile }: Props) {
  return (
    <span class="file-button">
      <input
        id={id}
        class="hidden-input"
        type="file"
        accept={accept}
        onChange={({ currentTarget }) => {
          const file = currentTarget.files?.[0];
          if (file) onFile(file);
          // Otherwise choosing the same file again would fire no event.
          currentTarget.value = "";
        }}
      />
      <label for={id} class="button">
        <Icon name={icon} /> {label}
      </label>
    </span>
  );
}
