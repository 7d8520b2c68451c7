/** @file Tells whoever runs a server or a worker of a Redis that does nothing for now. */

import { addressOf, outageOf } from "../jobs/redis/connection.js";
import { yellow } from "./colors.js";
import { printError } from "./terminal.js";

const againSeconds = 30;

/** Prints errors; outages, which every connection notes at every attempt, once in a while. */
export function outageReporter(url: string): (error: unknown) => void {
  let told: { got: string; at: number } | undefined;
  return (error) => {
    const outage = outageOf(error);
    if (!outage) return printError(error);
    const { got } = outage;
    if (told?.got === got && Date.now() - told.at < againSeconds * 1000) return;
    told = { got, at: Date.now() };
    process.stderr.write(`${yellow("waiting:")} got ${got} at ${addressOf(url)}\n`);
  };
}
