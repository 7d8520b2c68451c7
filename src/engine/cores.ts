/** @file How many cores this machine has for this process; in a browser `cores.browser.ts` takes this module's place. */

export { availableParallelism as cores } from "node:os";
