/** @file Scrolls an element into view: on a phone the form fills the screen, and the result is below it. */

export function reveal(selector: string): void {
  const reducedMotion = matchMedia("(prefers-reduced-motion: reduce)").matches;
  // In the next frame, when the element has been rendered.
  requestAnimationFrame(() =>
    document
      .querySelector(selector)
      ?.scrollIntoView({ block: "nearest", behavior: reducedMotion ? "auto" : "smooth" }),
  );
}
