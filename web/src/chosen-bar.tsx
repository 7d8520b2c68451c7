/** @file What can be done with the chosen images; in sight while the gallery is scrolled. */

import { chooseAll, chooseNone, chosen } from "./chosen.js";
import { comparing, mostCompared } from "./compare.js";
import { found, remove } from "./gallery.js";
import { Icon } from "./icon.js";
import { saveAsZip, zipping } from "./zip.js";

export function ChosenBar() {
  const all = chosen.value;
  if (all.length === 0) return null;
  const comparable = all.length >= 2 && all.length <= mostCompared;
  const complete = found.value.every((image) => all.includes(image));
  return (
    <section class="chosen-bar" aria-label="Chosen images">
      <strong role="status">{`${all.length} chosen`}</strong>
      <button
        type="button"
        disabled={!comparable}
        title={`Compare 2 to ${mostCompared} images`}
        onClick={() => (comparing.value = true)}
      >
        <Icon name="compare" /> Compare
      </button>
      <button type="button" disabled={zipping.value} onClick={() => void saveAsZip(all)}>
        <Icon name="download" /> {zipping.value ? "Saving…" : "Save as ZIP"}
      </button>
      <button type="button" onClick={() => void remove(all.map(({ id }) => id))}>
        <Icon name="trash" /> Delete
      </button>
      {!complete && (
        <button type="button" class="quiet-button" onClick={chooseAll}>
          {`Choose all ${found.value.length}`}
        </button>
      )}
      <button type="button" class="quiet-button" onClick={chooseNone}>
        Choose none
      </button>
    </section>
  );
}
