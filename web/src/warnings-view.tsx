/** @file The list of warnings below an image or a grid. */

import { Icon } from "./icon.js";
import { LongText } from "./long-text.js";

export function Warnings({ warnings }: { warnings: readonly string[] }) {
  if (warnings.length === 0) return null;
  return (
    <ul class="warnings" aria-label="Warnings">
      {warnings.map((warning) => (
        <li key={warning}>
          <Icon name="warning" />
          <LongText text={warning} />
        </li>
      ))}
    </ul>
  );
}
