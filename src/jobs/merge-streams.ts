/** @file Several asynchronous streams merged into one, values in the order of their arrival. */

import { setMaxListeners } from "node:events";
import { Channel } from "./channel.js";

type Offered<T> = { value: T; taken: () => void };

/**
 * The values of all streams of `open`, until the last of them has ended or one fails. No stream is read further before
 * its last value was taken, so a slow reader slows its sources. The signal of `open` fires with `signal` and when the
 * reader leaves; the streams must then end.
 */
export async function* merged<T>(
  open: (signal: AbortSignal) => readonly AsyncIterable<T>[],
  signal: AbortSignal,
): AsyncGenerator<T, void> {
  const leaving = new AbortController();
  const either = AbortSignal.any([signal, leaving.signal]);
  setMaxListeners(0, either); // one for each source
  const ready = new Channel<Offered<T>>();
  const offered = new Set<Offered<T>>();
  const read = async (source: AsyncIterable<T>) => {
    for await (const value of source) {
      if (leaving.signal.aborted) return;
      await new Promise<void>((taken) => {
        const offer = { value, taken };
        offered.add(offer);
        ready.push(offer);
      });
    }
  };
  const ended = Promise.all(open(either).map(read)).then(
    () => ready.end(),
    (error: unknown) => ready.end({ error }),
  );
  try {
    for await (const offer of ready) {
      yield offer.value;
      offered.delete(offer);
      offer.taken();
    }
  } finally {
    leaving.abort();
    for (const { taken } of offered) taken();
    await ended;
  }
}
