/** @file The dialog for drawing a mask over the init image, with mouse, finger, pen or keyboard. */

import { signal } from "@preact/signals";
import { useEffect, useRef, useState } from "preact/hooks";
import { Dialog } from "./dialog.js";
import { sizeOf, urlOf } from "./images.js";
import { MaskCanvas, type Point } from "./mask-canvas.js";
import { initImage, mask } from "./settings.js";

export const maskOpen = signal(false);
const brushSize = signal(12);
const erase = signal(false);
/** Position of the keyboard's brush, as fractions of width and height. */
const cursor = signal<Point>({ x: 0.5, y: 0.5 });
const cursorShown = signal(false);

export function MaskEditor() {
  const image = initImage.value;
  return (
    <Dialog open={maskOpen} title="Mark what to change" class="mask-editor">
      {image && <Editor image={image} />}
    </Dialog>
  );
}

function Editor({ image }: { image: Blob }) {
  const element = useRef<HTMLCanvasElement>(null);
  const drawing = useRef<MaskCanvas | undefined>(undefined);
  const [size, setSize] = useState<{ width: number; height: number }>();
  const [, redraw] = useState(0);
  useEffect(() => {
    void sizeOf(image).then(setSize);
  }, [image]);
  useEffect(() => {
    if (!size || !element.current) return;
    drawing.current = new MaskCanvas(element.current);
    if (mask.peek()) void drawing.current.load(mask.peek()!);
  }, [size]);
  const act = (what: (canvas: MaskCanvas) => void) => () => {
    if (drawing.current) what(drawing.current);
    redraw((n) => n + 1);
  };
  const done = async () => {
    mask.value = await drawing.current?.mask();
    maskOpen.value = false;
  };
  return (
    <>
      <Tools act={act} canUndo={drawing.current?.canUndo ?? false} />
      <div class="mask-area">
        <div class="mask-layers">
          <img src={urlOf(image)} alt="" draggable={false} />
          {size && (
            <Surface element={element} size={size} drawing={drawing} changed={() => redraw((n) => n + 1)} />
          )}
        </div>
      </div>
      <div class="actions">
        <button type="button" class="primary" onClick={() => void done()}>
          Done
        </button>
        <p class="hint">
          Only the marked part changes. With the keyboard: arrow keys move the brush, the space bar draws.
        </p>
      </div>
    </>
  );
}

type Act = (what: (canvas: MaskCanvas) => void) => () => void;

function Tools({ act, canUndo }: { act: Act; canUndo: boolean }) {
  return (
    <div class="tools" role="toolbar" aria-label="Brush">
      <button type="button" aria-pressed={!erase.value} onClick={() => (erase.value = false)}>
        Brush
      </button>
      <button type="button" aria-pressed={erase.value} onClick={() => (erase.value = true)}>
        Eraser
      </button>
      <label class="brush-size">
        Size
        <input
          type="range"
          min={1}
          max={50}
          value={brushSize.value}
          onInput={({ currentTarget }) => (brushSize.value = Number(currentTarget.value))}
        />
      </label>
      <button type="button" disabled={!canUndo} onClick={act((canvas) => canvas.undo())}>
        Undo
      </button>
      <button type="button" onClick={act((canvas) => canvas.invert())}>
        Invert
      </button>
      <button type="button" onClick={act((canvas) => canvas.clear())}>
        Clear
      </button>
    </div>
  );
}

type SurfaceProps = {
  element: { current: HTMLCanvasElement | null };
  drawing: { current: MaskCanvas | undefined };
  size: { width: number; height: number };
  changed: () => void;
};

function Surface({ element, drawing, size, changed }: SurfaceProps) {
  const last = useRef<Point | undefined>(undefined);
  /** The size is in percent of the shorter side. */
  const brush = () => ({
    size: (brushSize.value / 100) * Math.min(size.width, size.height),
    erase: erase.value,
  });
  const at = ({ clientX, clientY }: PointerEvent): Point => {
    const box = element.current!.getBoundingClientRect();
    return {
      x: ((clientX - box.left) / box.width) * size.width,
      y: ((clientY - box.top) / box.height) * size.height,
    };
  };
  const stroke = (to: Point) => {
    drawing.current?.stroke(last.current ?? to, to, brush());
    last.current = to;
  };
  const onDown = (event: PointerEvent) => {
    element.current!.setPointerCapture(event.pointerId);
    drawing.current?.pushUndo();
    last.current = undefined;
    cursorShown.value = false;
    stroke(at(event));
  };
  const onMove = (event: PointerEvent) => {
    if (event.buttons !== 0) for (const part of event.getCoalescedEvents?.() ?? [event]) stroke(at(part));
  };
  const onKey = (event: KeyboardEvent) => {
    const [dx, dy] = directions[event.key] ?? [0, 0];
    if (dx === 0 && dy === 0 && event.key !== " ") return;
    event.preventDefault();
    cursorShown.value = true;
    const { x, y } = cursor.value;
    cursor.value = { x: clamp(x + dx * 0.02), y: clamp(y + dy * 0.02) };
    if (event.key !== " ") return;
    drawing.current?.pushUndo();
    const point = { x: cursor.value.x * size.width, y: cursor.value.y * size.height };
    drawing.current?.stroke(point, point, brush());
    changed();
  };
  return (
    <>
      {/* biome-ignore lint/a11y/noInteractiveElementToNoninteractiveRole: arrow keys are its own */}
      <canvas
        ref={element}
        {...size}
        tabIndex={0}
        role="application"
        aria-label="Mask. Arrow keys move the brush, the space bar draws."
        onPointerDown={onDown}
        onPointerMove={onMove}
        onPointerUp={changed}
        onKeyDown={onKey}
      />
      {cursorShown.value && <Cursor size={size} radius={brush().size / 2} />}
    </>
  );
}

const directions: Readonly<Record<string, readonly [number, number]>> = {
  ArrowLeft: [-1, 0],
  ArrowRight: [1, 0],
  ArrowUp: [0, -1],
  ArrowDown: [0, 1],
};
const clamp = (value: number): number => Math.min(1, Math.max(0, value));

function Cursor({ size, radius }: { size: { width: number; height: number }; radius: number }) {
  return (
    <svg class="cursor" viewBox={`0 0 ${size.width} ${size.height}`} aria-hidden="true">
      <circle cx={cursor.value.x * size.width} cy={cursor.value.y * size.height} r={radius} />
    </svg>
  );
}
