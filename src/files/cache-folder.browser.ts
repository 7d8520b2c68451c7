/** @file A browser has no folder of what can be made anew. */

export const cacheFolder = (): string | undefined => undefined;
