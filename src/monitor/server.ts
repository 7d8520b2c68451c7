/** @file The server of the monitor: the page of one run on a local address. */

import { type Listening, listen } from "../http/listen.js";
import { readPageFiles } from "../http/page-files.js";
import { monitorApp } from "./app.js";
import { RunWatcher } from "./run-watcher.js";

export type MonitorOptions = {
  /** 0 takes any free port. */
  port?: number;
  host?: string;
  /** Interval at which the files of the run are read while a page is open. */
  everyMs?: number;
};

/** Serves the run in `folder` until closed. Throws an InvalidRequest if it is not a run or the port is taken. */
export async function serveMonitor(folder: string, options: MonitorOptions = {}): Promise<Listening> {
  const { port = 7020, host = "127.0.0.1", everyMs = 1000 } = options;
  const watcher = await RunWatcher.open(folder, { everyMs });
  const page = await readPageFiles("monitor.html");
  return listen(monitorApp({ watcher, page, host }), host, port);
}
