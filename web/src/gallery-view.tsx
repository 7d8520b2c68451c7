/** @file The gallery: thumbnails with search, selection for comparison, and arrow keys. */

import { comparing } from "./compare.js";
import type { SavedImage } from "./database.js";
import {
  compared,
  found,
  galleryReady,
  images,
  remove,
  search,
  select,
  selectedId,
  toggleCompared,
} from "./gallery.js";
import { Icon } from "./icon.js";
import { urlOf } from "./images.js";
import { shortened } from "./long-text.js";
import { ReadSettingsButton } from "./read-settings-button.js";
import { reveal } from "./reveal.js";
import { current } from "./tasks.js";

export function Gallery() {
  const shown = found.value;
  const all = images.value.length;
  if (!galleryReady.value || all === 0) return null;
  return (
    <section class="gallery" aria-labelledby="gallery-title">
      <div class="bar">
        <h2 id="gallery-title">Gallery</h2>
        <span class="quiet" role="status">
          {shown.length === all ? `${all} ${all === 1 ? "image" : "images"}` : `${shown.length} of ${all}`}
        </span>
        <div class="search">
          <Icon name="search" />
          <input
            type="search"
            aria-label="Search the gallery"
            placeholder="prompt, model, seed 7"
            value={search.value}
            onInput={({ currentTarget }) => (search.value = currentTarget.value)}
          />
        </div>
        {(selectedId.value !== undefined || current.value) && <ReadSettingsButton />}
        <CompareBar />
      </div>
      {shown.length === 0 ? (
        <p class="quiet">{`No image matches "${search.value}".`}</p>
      ) : (
        <ul class="thumbs" onKeyDown={onKey}>
          {shown.map((image) => (
            <Thumb key={image.id} image={image} />
          ))}
        </ul>
      )}
    </section>
  );
}

function CompareBar() {
  const count = compared.value.length;
  if (count === 0) return null;
  return (
    <div class="compare-bar">
      <button type="button" class="primary" disabled={count < 2} onClick={() => (comparing.value = true)}>
        <Icon name="compare" /> {count < 2 ? "Select another to compare" : `Compare ${count}`}
      </button>
      <button type="button" onClick={() => (compared.value = [])}>
        Deselect
      </button>
    </div>
  );
}

function Thumb({ image }: { image: SavedImage }) {
  const { id, settings, thumbnail, width, height, warnings = [] } = image;
  const chosen = compared.value.includes(id);
  const warned =
    warnings.length === 0 ? "" : `, ${warnings.length === 1 ? "with a warning" : "with warnings"}`;
  const label = `${shortened(settings.prompt) || "without a prompt"}, seed ${settings.seed}${warned}`;
  return (
    <li class={chosen ? "thumb picked" : "thumb"}>
      <button
        type="button"
        class="open"
        data-id={id}
        aria-label={label}
        title={label}
        aria-current={selectedId.value === id ? "true" : undefined}
        onClick={() => {
          void select(id);
          reveal(".preview");
        }}
      >
        <img src={urlOf(thumbnail)} width={width} height={height} alt="" loading="lazy" />
        {warned !== "" && (
          <span class="warned">
            <Icon name="warning" />
          </span>
        )}
      </button>
      <button
        type="button"
        class="icon pick"
        aria-pressed={chosen}
        aria-label={`Compare: ${label}`}
        title="Compare"
        onClick={() => toggleCompared(id)}
      >
        <Icon name="compare" />
      </button>
    </li>
  );
}

/** Arrows go to the neighbours, Delete deletes. */
function onKey(event: KeyboardEvent): void {
  const here = event.target instanceof HTMLElement ? event.target.dataset.id : undefined;
  if (here === undefined) return;
  const shown = found.value;
  const at = shown.findIndex(({ id }) => id === here);
  if (event.key === "Delete") {
    focusOn(shown[at + 1] ?? shown[at - 1]);
    void remove([here]);
    return;
  }
  const by = event.key === "ArrowRight" ? 1 : event.key === "ArrowLeft" ? -1 : 0;
  const next = by === 0 ? undefined : shown[at + by];
  if (!next) return;
  event.preventDefault();
  focusOn(next);
  if (selectedId.value !== undefined) void select(next.id);
}

function focusOn(image: SavedImage | undefined): void {
  if (image) document.querySelector<HTMLElement>(`[data-id="${image.id}"]`)?.focus();
}
