/** @file The full view: an image on the whole window, zoomed and moved by pointer and keyboard, with its neighbours. */

import { computed, signal } from "@preact/signals";
import { useEffect, useRef } from "preact/hooks";
import { copyImage } from "./clipboard.js";
import { Dialog } from "./dialog.js";
import { found, remove, selected, selectedFiles, selectNeighbour } from "./gallery.js";
import { Icon, type IconName } from "./icon.js";
import { download, fileName, urlOf } from "./images.js";
import { shortened } from "./long-text.js";
import { Messages } from "./messages-view.js";
import { onPointerDown, onPointerMove, onPointerUp } from "./stage-pointers.js";
import { fitted, withinStage, type Zoom, zoomedBy, zoomStep } from "./zoom.js";

export const fullViewOpen = signal(false);

/** Undefined while the whole image is shown, whatever the size of the window. */
const zoom = signal<Zoom | undefined>(undefined);
const stage = signal({ width: 1, height: 1 });
const centre = { x: 0, y: 0 };

const shownZoom = computed(
  (): Zoom => zoom.value ?? (selected.value ? fitted(selected.value, stage.value) : { scale: 1, ...centre }),
);
/** One pixel of the image on one of the screen. */
const ownSize = (): Zoom => ({ scale: 1 / devicePixelRatio, ...centre });
const percent = () => `${Math.round(shownZoom.value.scale * devicePixelRatio * 100)} %`;

function zoomBy(factor: number, point = centre): void {
  if (selected.value) zoom.value = zoomedBy(shownZoom.value, factor, point, selected.value, stage.value);
}

function moveBy(x: number, y: number): void {
  const now = zoom.value;
  if (!now || !selected.value) return;
  zoom.value = withinStage({ ...now, x: now.x + x, y: now.y + y }, selected.value, stage.value);
}

/** To another image; one of the same size is shown in the same place, so that details can be compared. */
function go(by: number): void {
  const before = selected.value;
  if (!selectNeighbour(by)) return;
  const { width, height } = selected.value!;
  if (before?.width !== width || before.height !== height) zoom.value = undefined;
}

function removeShown(): void {
  if (selected.value) void remove([selected.value.id]);
}

const moveStep = 80;
const keys: Readonly<Record<string, () => void>> = {
  ArrowLeft: () => go(-1),
  ArrowRight: () => go(1),
  "Shift ArrowLeft": () => moveBy(moveStep, 0),
  "Shift ArrowRight": () => moveBy(-moveStep, 0),
  "Shift ArrowUp": () => moveBy(0, moveStep),
  "Shift ArrowDown": () => moveBy(0, -moveStep),
  "+": () => zoomBy(zoomStep),
  "=": () => zoomBy(zoomStep),
  "-": () => zoomBy(1 / zoomStep),
  "0": () => (zoom.value = undefined),
  "1": () => (zoom.value = ownSize()),
  Delete: removeShown,
};

function onKey(event: KeyboardEvent): void {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  const act = keys[event.shiftKey && event.key.startsWith("Arrow") ? `Shift ${event.key}` : event.key];
  if (!act) return;
  event.preventDefault();
  act();
}

export function FullView() {
  const image = selected.value;
  useEffect(() => {
    // After the last image was deleted.
    if (!image) fullViewOpen.value = false;
  }, [image]);
  const open = fullViewOpen.value;
  useEffect(() => {
    // After the dialog's own effect, which focuses its first button.
    if (open) document.querySelector<HTMLElement>(".stage")?.focus();
  }, [open]);
  const at = found.value.findIndex(({ id }) => id === image?.id);
  const title = at === -1 ? "Image" : `Image ${at + 1} of ${found.value.length}`;
  return (
    <Dialog open={fullViewOpen} title={title} class="full-view" onKeyDown={onKey}>
      <div class="full-view-body">
        <Stage />
        <Tools at={at} />
        <p class="visually-hidden" role="status">
          {`${title}, ${percent()}: ${shortened(image?.settings.prompt ?? "")}`}
        </p>
        <Messages />
      </div>
    </Dialog>
  );
}

function Stage() {
  const element = useRef<HTMLElement>(null);
  useEffect(() => {
    zoom.value = undefined;
    const observer = new ResizeObserver(([entry]) => {
      stage.value = entry!.contentRect;
    });
    observer.observe(element.current!);
    return () => observer.disconnect();
  }, []);
  const image = selected.value;
  if (!image) return null;
  const { scale, x, y } = shownZoom.value;
  const file = selectedFiles.value?.id === image.id ? selectedFiles.value.file : image.thumbnail;
  const gestures = { zoom: zoomBy, move: moveBy, swipe: go, isFitted: () => zoom.value === undefined };
  return (
    <section
      ref={element}
      class={zoom.value ? "stage zoomed" : "stage"}
      aria-label="The image. Plus and minus zoom, 0 fits, 1 shows its own size, Shift and arrows move it."
      // biome-ignore lint/a11y/noNoninteractiveTabindex: keys zoom and move what it shows
      tabIndex={0}
      onWheel={(event) => {
        event.preventDefault();
        zoomBy(zoomStep ** (-event.deltaY / (event.deltaMode === 0 ? 100 : 3)), pointOf(event));
      }}
      onDblClick={() => (zoom.value = zoom.value ? undefined : ownSize())}
      onPointerDown={(event) => onPointerDown(event, pointOf)}
      onPointerMove={(event) => onPointerMove(event, pointOf, gestures)}
      onPointerUp={(event) => onPointerUp(event, gestures)}
      onPointerCancel={(event) => onPointerUp(event)}
    >
      <img
        class={zoom.value && scale * devicePixelRatio >= 4 ? "pixels" : undefined}
        src={urlOf(file)}
        alt={image.settings.prompt || "An image without a prompt"}
        draggable={false}
        style={{
          width: `${image.width * scale}px`,
          height: `${image.height * scale}px`,
          transform: `translate(calc(-50% + ${x}px), calc(-50% + ${y}px))`,
        }}
      />
    </section>
  );
}

/** Relative to the stage's centre. */
function pointOf({ clientX, clientY, currentTarget }: MouseEvent): { x: number; y: number } {
  const { left, top, width, height } = (currentTarget as Element).getBoundingClientRect();
  return { x: clientX - left - width / 2, y: clientY - top - height / 2 };
}

function Tools({ at }: { at: number }) {
  const image = selected.value;
  const files = selectedFiles.value?.id === image?.id ? selectedFiles.value : undefined;
  const name = image ? fileName(image.settings.prompt, image.settings.seed) : "";
  return (
    <section class="tools" aria-label="View">
      <Tool icon="previous" label="Previous image" keys="ArrowLeft" off={at <= 0} act={() => go(-1)} />
      <Tool
        icon="next"
        label="Next image"
        keys="ArrowRight"
        off={at === -1 || at === found.value.length - 1}
        act={() => go(1)}
      />
      <Tool icon="minus" label="Zoom out" keys="-" act={() => zoomBy(1 / zoomStep)} />
      <output class="percent">{percent()}</output>
      <Tool icon="plus" label="Zoom in" keys="+" act={() => zoomBy(zoomStep)} />
      <button type="button" aria-pressed={!zoom.value} onClick={() => (zoom.value = undefined)}>
        Fit
      </button>
      <button
        type="button"
        aria-pressed={zoom.value?.scale === ownSize().scale}
        aria-label="1:1, the image's own size"
        onClick={() => (zoom.value = ownSize())}
      >
        1:1
      </button>
      <Tool icon="copy" label="Copy image" off={!files} act={() => files && void copyImage(files.file)} />
      <Tool icon="download" label="Download" off={!files} act={() => files && download(files.file, name)} />
      <Tool icon="trash" label="Delete" keys="Delete" act={removeShown} />
    </section>
  );
}

type ToolProps = { icon: IconName; label: string; act: () => void; keys?: string; off?: boolean };

function Tool({ icon, label, act, keys: shortcut, off = false }: ToolProps) {
  return (
    <button
      type="button"
      class="icon"
      aria-label={label}
      title={label}
      aria-keyshortcuts={shortcut}
      disabled={off}
      onClick={act}
    >
      <Icon name={icon} />
    </button>
  );
}
