/** @file The gallery: thumbnails with search, check boxes, and arrow keys. */

import { chooseAll, chooseRange, isChosen, toggleChosen } from "./chosen.js";
import { ChosenBar } from "./chosen-bar.js";
import type { SavedImage } from "./database.js";
import { found, galleryReady, images, remove, search, select, selectedId } from "./gallery.js";
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
      </div>
      <ChosenBar />
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

function Thumb({ image }: { image: SavedImage }) {
  const { id, settings, thumbnail, width, height, warnings = [] } = image;
  const chosen = isChosen(id);
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
      <label class="pick" title="Choose (with Shift: all from the last choice)">
        <input
          type="checkbox"
          aria-label={`Choose: ${label}`}
          checked={chosen}
          onClick={(event) => (event.shiftKey ? chooseRange(id) : toggleChosen(id))}
        />
      </label>
    </li>
  );
}

/** Arrows go to the neighbours, Delete deletes, Ctrl+A chooses all. */
function onKey(event: KeyboardEvent): void {
  const here = event.target instanceof HTMLElement ? event.target.dataset.id : undefined;
  if (here === undefined) return;
  if (event.key === "a" && (event.ctrlKey || event.metaKey)) {
    event.preventDefault();
    chooseAll();
    return;
  }
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
