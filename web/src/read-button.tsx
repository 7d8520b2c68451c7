/** @file Reads the settings inside a PNG that is chosen. */

import { readSettings } from "./drop.js";
import { FileButton } from "./file-button.js";

export const ReadButton = () => (
  <FileButton
    id="read-file"
    icon="open"
    label="Read a PNG's settings"
    accept="image/png"
    onFile={(file) => void readSettings(file)}
  />
);
