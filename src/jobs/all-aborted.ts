/** @file The signal of a batch whose jobs are cancelled one by one. */

/** Fires when every one of them has. */
export function allAborted(signals: readonly AbortSignal[]): AbortSignal {
  if (signals.length === 1) return signals[0]!;
  const controller = new AbortController();
  const check = () => void (signals.every(({ aborted }) => aborted) && controller.abort());
  for (const signal of signals) signal.addEventListener("abort", check, { once: true });
  check();
  return controller.signal;
}
