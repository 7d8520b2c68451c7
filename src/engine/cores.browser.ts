/** @file How many cores a browser tells of. */

export const cores = (): number => navigator.hardwareConcurrency;
