/**
 * @file Lets one tab of a site generate at a time. Two would share the cores and double the memory, of which the first
 * alone may take most. A browser frees the lock of a tab that is closed or crashes.
 */

import { Cancelled } from "../errors.js";
import { allAborted } from "../jobs/all-aborted.js";
import { Channel } from "../jobs/channel.js";
import type { BatchJob, JobProcessor, ProcessorEvent } from "../jobs/processor.js";

const lockName = "koala.generating";

/** The same processor, which waits for other tabs; `onWait` is called when it begins and ends to. */
export const oneTab = (processor: JobProcessor, onWait: (waits: boolean) => void): JobProcessor => ({
  ...processor,
  process: (batch) => {
    const channels = batch.map(() => new Channel<ProcessorEvent>());
    const run = async () => {
      onWait(false);
      await Promise.all(processor.process(batch).map((events, i) => passOn(events, channels[i]!)));
    };
    locked(batch, run, onWait).catch((error: unknown) => {
      for (const channel of channels) channel.end({ error });
    });
    return channels;
  },
});

async function locked(
  batch: readonly BatchJob[],
  run: () => Promise<void>,
  onWait: (waits: boolean) => void,
): Promise<void> {
  // Only pages from https or this machine have locks.
  const locks = navigator.locks as LockManager | undefined;
  if (!locks) return run();
  const isFree = await locks.request(lockName, { ifAvailable: true }, async (lock) => {
    if (lock) await run();
    return lock !== null;
  });
  if (isFree) return;
  onWait(true);
  const signal = allAborted(batch.map((job) => job.signal));
  try {
    await locks.request(lockName, { signal }, run);
  } catch (error) {
    onWait(false);
    throw signal.aborted ? new Cancelled() : error;
  }
}

async function passOn(events: AsyncIterable<ProcessorEvent>, to: Channel<ProcessorEvent>): Promise<void> {
  try {
    for await (const event of events) to.push(event);
    to.end();
  } catch (error) {
    to.end({ error });
  }
}
