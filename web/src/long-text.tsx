/** @file A sentence of any length, as warnings that quote a prompt are: beyond some lines it scrolls, also by keys. */

const shortLength = 300;

/** Its beginning, for names of things. */
export const shortened = (text: string, most = 120): string =>
  text.length > most ? `${text.slice(0, most - 1)}…` : text;

export function LongText({ text, class: kind = "" }: { text: string; class?: string }) {
  if (text.length <= shortLength) return <p class={kind}>{text}</p>;
  return (
    // biome-ignore lint/a11y/noNoninteractiveTabindex: it scrolls, also for those without a mouse
    <p class={`${kind} long`} tabIndex={0}>
      {text}
    </p>
  );
}
