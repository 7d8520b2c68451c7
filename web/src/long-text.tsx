/** @file A paragraph that scrolls if it is long, for warnings that quote a long prompt. */

const shortLength = 300;

/** At most `max` characters of a text. */
export const shortened = (text: string, max = 120): string =>
  text.length > max ? `${text.slice(0, max - 1)}…` : text;

export function LongText({ text, class: kind = "" }: { text: string; class?: string }) {
  if (text.length <= shortLength) return <p class={kind}>{text}</p>;
  return (
    // biome-ignore lint/a11y/noNoninteractiveTabindex: it scrolls, and the keyboard must reach it
    <p class={`${kind} long`} tabIndex={0}>
      {text}
    </p>
  );
}
