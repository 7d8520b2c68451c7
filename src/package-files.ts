/** @file Where this package's files lie, for modules that may run from src, from dist, or inside a bundle in dist. */

/** The folder that holds package.json: the one above the last `src` or `dist` in this module's path. */
const root = new URL(import.meta.url.replace(/^(.*\/)(?:src|dist)\/.*$/, "$1"));

/** A file by its path in the package. */
export const packageFile = (path: string): URL => new URL(path, root);

/** A built file by its path in dist: Node 20 runs no TypeScript, so a thread of the sources runs its built module too. */
export const builtFile = (path: string): URL => new URL(`dist/${path}`, root);
