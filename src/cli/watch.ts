/** @file The command `koala watch`: shows a training run on a local page. */

import { spawn } from "node:child_process";
import { once } from "node:events";
import { Command, InvalidArgumentError } from "commander";
import { serveMonitor } from "../monitor/server.js";
import { stopOnInterrupt } from "./terminal.js";

export function watchCommand(): Command {
  return new Command("watch")
    .description("Show a training run, running or finished: its progress, curves and sample images.")
    .argument("<folder>", "output folder of koala distill or koala train")
    .option("--port <n>", "port of the page; 0 takes any free one", port, 7020)
    .option(
      "--host <address>",
      "address to listen on; by another than the default, others can reach the page",
      "127.0.0.1",
    )
    .option("--open", "open the page in the browser")
    .addHelpText("after", "\nExample:\n  koala watch ./my-student --open\n")
    .action(async (folder: string, options: { port: number; host: string; open?: boolean }) => {
      const server = await serveMonitor(folder, options);
      process.stdout.write(`${server.url}\n`);
      process.stderr.write("Ctrl-C stops this server. The training is not affected.\n");
      if (options.open) openInBrowser(server.url);
      const { signal, done } = stopOnInterrupt(() => process.stderr.write("\n"));
      if (!signal.aborted) await once(signal, "abort");
      await server.close();
      done();
    });
}

function port(text: string): number {
  if (!/^\d{1,5}$/.test(text) || Number(text) > 65535) throw new InvalidArgumentError("must be 0 to 65535.");
  return Number(text);
}

/** A failure is only reported, since the address is already printed. */
function openInBrowser(url: string): void {
  const program =
    process.platform === "darwin" ? "open" : process.platform === "win32" ? "explorer" : "xdg-open";
  const child = spawn(program, [url], { stdio: "ignore", detached: true });
  child.on("error", () =>
    process.stderr.write(`--open: no browser could be started. Open ${url} in a browser.\n`),
  );
  child.unref();
}
