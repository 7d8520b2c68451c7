/** @file Reads the settings inside an image file that is chosen. */

import { readSettings } from "./drop.js";
import { FileButton } from "./file-button.js";

export const ReadButton = () => (
  <FileButton
    id="read-file"
    icon="open"
    label="Read an image's settings"
    accept="image/png,image/jpeg,image/webp"
    onFile={(file) => void readSettings(file)}
  />
);
