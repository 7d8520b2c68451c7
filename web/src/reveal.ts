/** @file Scrolls to what a visitor asked for, where it is out of sight: on a phone the form fills the screen. */

export function reveal(selector: string): void {
  const calm = matchMedia("(prefers-reduced-motion: reduce)").matches;
  // A frame later, when it is there at its size.
  requestAnimationFrame(() =>
    document
      .querySelector(selector)
      ?.scrollIntoView({ block: "nearest", behavior: calm ? "auto" : "smooth" }),
  );
}
