/** @file The button that fills the form with the settings in an image file. */

import { readSettings } from "./drop.js";
import { FileButton } from "./file-button.js";

export const ReadSettingsButton = () => (
  <FileButton
    id="read-file"
    icon="open"
    label="Read settings from an image"
    accept="image/png,image/jpeg,image/webp"
    onFile={(file) => void readSettings(file)}
  />
);
