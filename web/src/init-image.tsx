/** @file The image that a generation begins with: chosen or dropped, how far to leave it, and what to generate anew. */

import { beginWith } from "./drop.js";
import { NumberField } from "./fields.js";
import { FileButton } from "./file-button.js";
import { Icon } from "./icon.js";
import { urlOf } from "./images.js";
import { maskOpen } from "./mask-editor.js";
import { mask, startImage, strength } from "./settings.js";

export function StartFields() {
  const image = startImage.value;
  return (
    <fieldset class="wide start">
      <legend>Begin with an image</legend>
      {image ? <Chosen image={image} /> : <Choose />}
    </fieldset>
  );
}

function Choose() {
  return (
    <div class="choose">
      <FileButton
        id="start-file"
        icon="image"
        label="Choose an image"
        accept="image/png,image/jpeg,image/webp"
        onFile={(file) => void beginWith(file)}
      />
      <p class="hint">Or drop one here. A part of it can be generated anew.</p>
    </div>
  );
}

function Chosen({ image }: { image: Blob }) {
  const remove = () => {
    startImage.value = undefined;
    mask.value = undefined;
  };
  return (
    <>
      <div class="chosen">
        <div class="layers">
          <img src={urlOf(image)} alt="What the generation begins with" />
          {mask.value && <img class="mask" src={urlOf(mask.value)} alt="What is generated anew" />}
        </div>
        <div class="actions">
          <button type="button" onClick={() => (maskOpen.value = true)}>
            <Icon name="brush" /> {mask.value ? "Change the mask" : "Generate a mask"}
          </button>
          {mask.value && (
            <button type="button" onClick={() => (mask.value = undefined)}>
              Without mask
            </button>
          )}
          <button type="button" onClick={remove}>
            <Icon name="close" /> Take it away
          </button>
        </div>
      </div>
      <NumberField
        id="strength"
        label="Strength"
        value={strength}
        min={0.05}
        max={1}
        step={0.05}
        slider={1}
        hint="How far to leave the image: 1 keeps nothing of it."
      />
    </>
  );
}
