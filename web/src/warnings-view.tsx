/** @file What of a request was cut, changed or had no effect, beside the image that it was for. */

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
