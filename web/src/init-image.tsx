/** @file The fields of image-to-image: the init image, its mask, and the strength. */

import { chooseInitImage } from "./drop.js";
import { NumberField } from "./fields.js";
import { FileButton } from "./file-button.js";
import { Icon } from "./icon.js";
import { urlOf } from "./images.js";
import { maskOpen } from "./mask-editor.js";
import { initImage, mask, strength } from "./settings.js";

export function InitImageFields() {
  const image = initImage.value;
  return (
    <fieldset class="wide init-image">
      <legend>Start from an image</legend>
      {image ? <Chosen image={image} /> : <Choose />}
    </fieldset>
  );
}

function Choose() {
  return (
    <div class="choose">
      <FileButton
        id="init-image-file"
        icon="image"
        label="Choose an image"
        accept="image/png,image/jpeg,image/webp"
        onFile={(file) => void chooseInitImage(file)}
      />
      <p class="hint">Or drop one here. You can mark the part that should change.</p>
    </div>
  );
}

function Chosen({ image }: { image: Blob }) {
  const remove = () => {
    initImage.value = undefined;
    mask.value = undefined;
  };
  return (
    <>
      <div class="chosen">
        <div class="layers">
          <img src={urlOf(image)} alt="Where the generation starts" />
          {mask.value && (
            <img class="mask" src={urlOf(mask.value)} alt="The mask: the part that will change" />
          )}
        </div>
        <div class="actions">
          <button type="button" onClick={() => (maskOpen.value = true)}>
            <Icon name="brush" /> {mask.value ? "Edit the mask" : "Draw a mask"}
          </button>
          {mask.value && (
            <button type="button" onClick={() => (mask.value = undefined)}>
              Remove the mask
            </button>
          )}
          <button type="button" onClick={remove}>
            <Icon name="close" /> Remove the image
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
        hint="How much may change. At 1, nothing of the image is kept."
      />
    </>
  );
}
