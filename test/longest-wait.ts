/** @file The limit of the integration tests' waits, which vitest.config.ts and `browser.ts` set. */

/**
 * How long a wait for an element, or an `expect.poll`, goes on in milliseconds. It ends with what it waits for; the limit
 * is for what never comes, so it is generous: on a busy machine a page takes ten times as long.
 */
export const longestWait = 60_000;
