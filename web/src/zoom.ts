/** @file Geometry of the full view: how an image is scaled and moved on the stage that shows it. */

type Size = { width: number; height: number };

/** `scale` is CSS pixels per pixel of the image; `x` and `y` move its centre from the stage's, in CSS pixels. */
export type Zoom = { scale: number; x: number; y: number };

/** Of one press of a key or button, and of one notch of a wheel. */
export const zoomStep = 1.25;
const maxScale = 32;

/** The largest scale at which the whole image is visible. */
export const fitted = (image: Size, stage: Size): Zoom => ({
  scale: Math.min(stage.width / image.width, stage.height / image.height),
  x: 0,
  y: 0,
});

/** Scales by `factor`, keeping what is under `point` there; a point is relative to the stage's centre. */
export function zoomedBy(
  zoom: Zoom,
  factor: number,
  point: { x: number; y: number },
  image: Size,
  stage: Size,
): Zoom {
  const fit = fitted(image, stage).scale;
  const scale = Math.min(Math.max(zoom.scale * factor, Math.min(fit, 1) / 2), Math.max(maxScale, fit));
  const ratio = scale / zoom.scale;
  const moved = { scale, x: point.x - (point.x - zoom.x) * ratio, y: point.y - (point.y - zoom.y) * ratio };
  return withinStage(moved, image, stage);
}

/** Keeps an image that is larger than the stage from leaving a gap, and a smaller one centred. */
export function withinStage({ scale, x, y }: Zoom, image: Size, stage: Size): Zoom {
  const within = (offset: number, length: number, room: number) => {
    const most = Math.max(0, (length * scale - room) / 2);
    return Math.min(most, Math.max(-most, offset));
  };
  return { scale, x: within(x, image.width, stage.width), y: within(y, image.height, stage.height) };
}
