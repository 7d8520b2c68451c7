/** @file Width and height: three presets, or any size that the model supports. */

import { NumberField } from "./fields.js";
import { Icon } from "./icon.js";
import { height, model, served, width } from "./settings.js";
import { type Shape, shapesOf } from "./shapes.js";

export function SizeFields({ wrong }: { wrong: (field: string) => boolean }) {
  const now = model.value;
  const multiple = now?.sizeMultiple ?? 8;
  const bounds = { min: multiple, max: 8192, step: multiple };
  return (
    <fieldset class="wide size">
      <legend>Size</legend>
      <div class="shapes">
        {now && shapesOf(now).map((shape) => <ShapeButton key={shape.name} {...shape} />)}
      </div>
      <div class="sides">
        <NumberField id="width" label="Width" value={width} {...bounds} invalid={wrong("width")} />
        <button type="button" class="icon" aria-label="Swap width and height" title="Swap" onClick={swap}>
          <Icon name="swap" />
        </button>
        <NumberField id="height" label="Height" value={height} {...bounds} invalid={wrong("height")} />
      </div>
      <SizeHint multiple={multiple} />
    </fieldset>
  );
}

function ShapeButton({ name, width: w, height: h }: Shape) {
  const chosen = width.value === w && height.value === h;
  const choose = () => {
    width.value = w;
    height.value = h;
  };
  return (
    <button type="button" aria-pressed={chosen} class="shape" onClick={choose}>
      <span class={`outline ${name.toLowerCase()}`} aria-hidden="true" />
      {name}
      <small>{`${w} × ${h}`}</small>
    </button>
  );
}

/** The rules that the server checks too. */
function SizeHint({ multiple }: { multiple: number }) {
  const maxPixels = served.value?.limits.pixels ?? Number.POSITIVE_INFINITY;
  const off = [width.value, height.value].find((side) => side % multiple !== 0);
  if (off !== undefined) {
    const below = Math.max(multiple, Math.floor(off / multiple) * multiple);
    const nearest = `${below} or ${below + multiple}`;
    return <p class="hint problem">{`Width and height must be multiples of ${multiple}: ${nearest}.`}</p>;
  }
  if (width.value * height.value <= maxPixels) return null;
  const side = Math.floor(Math.sqrt(maxPixels));
  return <p class="hint problem">{`At most ${side} × ${side} pixels on this server.`}</p>;
}

function swap(): void {
  [width.value, height.value] = [height.value, width.value];
}
