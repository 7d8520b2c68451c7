/** @file Icons as SVG paths on 24 × 24 units. Hidden from screen readers: every button has a text or a label. */

const paths = {
  sun: "M12 8a4 4 0 1 0 0 8 4 4 0 0 0 0-8ZM12 2v2M12 20v2M4.9 4.9l1.4 1.4M17.7 17.7l1.4 1.4M2 12h2M20 12h2M4.9 19.1l1.4-1.4M17.7 6.3l1.4-1.4",
  moon: "M20 14.5A8.5 8.5 0 0 1 9.5 4 8.5 8.5 0 1 0 20 14.5Z",
  contrast: "M12 3a9 9 0 1 0 0 18 9 9 0 0 0 0-18ZM12 3v18M12 7h6.5M12 12h9M12 17h6.5",
  lock: "M6 11h12v9H6ZM8 11V8a4 4 0 0 1 8 0v3",
  unlock: "M6 11h12v9H6ZM8 11V7a4 4 0 0 1 7.5-1.9",
  dice: "M4 4h16v16H4ZM8.5 8a.5.5 0 1 0 0 1 .5.5 0 0 0 0-1ZM12 11.5a.5.5 0 1 0 0 1 .5.5 0 0 0 0-1ZM15.5 15a.5.5 0 1 0 0 1 .5.5 0 0 0 0-1Z",
  swap: "M7 4 3 8l4 4M3 8h14M17 12l4 4-4 4M21 16H7",
  download: "M12 4v11M7 11l5 5 5-5M5 20h14",
  trash: "M5 7h14M10 7V4h4v3M7 7l1 13h8l1-13M10 11v5M14 11v5",
  compare: "M4 5h7v14H4ZM13 5h7v14h-7Z",
  again: "M4 12a8 8 0 0 1 14-5.3L20 9M20 4v5h-5M20 12a8 8 0 0 1-14 5.3L4 15M4 20v-5h5",
  image: "M4 5h16v14H4ZM4 16l5-5 4 4 3-3 4 4M15.5 9v.01",
  brush: "M14 4l6 6-8 8-4-1-3 3M8 17l-1-4 7-9",
  open: "M4 6h6l2 2h8v10H4ZM12 11v4M10 13l2 2 2-2",
  close: "M6 6l12 12M18 6 6 18",
  search: "M10.5 4a6.5 6.5 0 1 0 0 13 6.5 6.5 0 0 0 0-13ZM15.5 15.5 20 20",
  warning: "M12 4 2.5 20h19ZM12 10v4.5M12 17.3v.01",
  check: "M4 4h16v16H4ZM8 12.5l3 3 5.5-7",
  copy: "M9 9h11v11H9ZM5 15H4V4h11v1",
  text: "M5 6h14M5 10h14M5 14h14M5 18h8",
  plus: "M12 5v14M5 12h14",
  minus: "M5 12h14",
  previous: "M14.5 5l-7 7 7 7",
  next: "M9.5 5l7 7-7 7",
  four: "M4 4h7v7H4ZM13 4h7v7h-7ZM4 13h7v7H4ZM13 13h7v7h-7Z",
  spark: "M12 3l2 7 7 2-7 2-2 7-2-7-7-2 7-2Z",
} as const;

export type IconName = keyof typeof paths;

export function Icon({ name }: { name: IconName }) {
  return (
    <svg viewBox="0 0 24 24" width="20" height="20" aria-hidden="true" class="glyph">
      <path d={paths[name]} />
    </svg>
  );
}

/** The keyboard shortcut of a button. Hidden from screen readers, which read `aria-keyshortcuts`. */
export function Keys({ children }: { children: string }) {
  return (
    <span aria-hidden="true">
      <kbd>{children}</kbd>
    </span>
  );
}
