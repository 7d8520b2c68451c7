/** @file Pointers on the full view: one moves the image or swipes to the next, two zoom. */

type Point = { x: number; y: number };
type PointOf = (event: PointerEvent) => Point;

export type Gestures = {
  zoom: (factor: number, point: Point) => void;
  move: (x: number, y: number) => void;
  /** To the next image (1) or the previous (-1). */
  swipe: (by: 1 | -1) => void;
  /** Whether the whole image is shown: then one finger swipes. */
  isFitted: () => boolean;
};

const swipeLength = 60;

const down = new Map<number, Point>();
/** Where a touch began that may become a swipe. */
let swipeFrom: Point | undefined;

export function onPointerDown(event: PointerEvent, pointOf: PointOf): void {
  if (event.button !== 0) return;
  (event.currentTarget as Element).setPointerCapture(event.pointerId);
  down.set(event.pointerId, pointOf(event));
  swipeFrom = event.pointerType === "touch" && down.size === 1 ? pointOf(event) : undefined;
}

export function onPointerMove(event: PointerEvent, pointOf: PointOf, gestures: Gestures): void {
  const before = down.get(event.pointerId);
  if (!before) return;
  const now = pointOf(event);
  const other = [...down].find(([id]) => id !== event.pointerId)?.[1];
  down.set(event.pointerId, now);
  if (!other) gestures.move(now.x - before.x, now.y - before.y);
  else gestures.zoom(distance(now, other) / Math.max(1, distance(before, other)), middle(now, other));
}

/** Without gestures the pointer was cancelled. */
export function onPointerUp(event: PointerEvent, gestures?: Gestures): void {
  const end = down.get(event.pointerId);
  down.delete(event.pointerId);
  const start = swipeFrom;
  if (down.size > 0 || !start || !end || !gestures?.isFitted()) return;
  const [x, y] = [end.x - start.x, end.y - start.y];
  swipeFrom = undefined;
  if (Math.abs(x) > swipeLength && Math.abs(x) > 2 * Math.abs(y)) gestures.swipe(x < 0 ? 1 : -1);
}

const distance = (a: Point, b: Point): number => Math.hypot(a.x - b.x, a.y - b.y);
const middle = (a: Point, b: Point): Point => ({ x: (a.x + b.x) / 2, y: (a.y + b.y) / 2 });
