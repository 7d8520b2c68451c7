/** @file A numbered section of the tour. */

import type { ComponentChildren } from "preact";

export function Section({
  number,
  title,
  children,
}: {
  number: number;
  title: string;
  children: ComponentChildren;
}) {
  const id = `tour-${number}`;
  return (
    <section aria-labelledby={id}>
      <h3 id={id}>{`${number}. ${title}`}</h3>
      {children}
    </section>
  );
}
