/** @file The program behind `koala`: mounts one file per subcommand, and runs the one that is given. */

import { readFileSync } from "node:fs";
import { Command, CommanderError } from "commander";
import { compareCommand } from "./compare.js";
import { convertCommand } from "./convert.js";
import { devicesCommand } from "./devices.js";
import { distillCommand } from "./distill.js";
import { onCommandLine } from "./flag-names.js";
import { generateCommand } from "./generate.js";
import { gridCommand } from "./grid.js";
import { inspectCommand } from "./inspect.js";
import { memoryCommand } from "./memory.js";
import { modelsCommand } from "./models.js";
import { previewFactorsCommand } from "./preview-factors.js";
import { serveCommand } from "./serve.js";
import { exitCodes, report, stopAtFullOutput, withoutPasswords } from "./terminal.js";
import { trainCommand } from "./train.js";
import { watchCommand } from "./watch.js";
import { wordsCommand } from "./words.js";
import { workerCommand } from "./worker.js";

const { version } = JSON.parse(readFileSync(new URL("../../package.json", import.meta.url), "utf8")) as {
  version: string;
};

const koala = new Command("koala")
  .description(
    "Text-to-image with KOALA, SDXL and Stable Diffusion, from diffusers folders as they lie on the Hub.",
  )
  .version(version)
  .addHelpText("after", '\nExample:\n  koala generate "a red apple, flat icon"\n')
  .showHelpAfterError("(add --help for the options)");

for (const command of [
  generateCommand(),
  gridCommand(),
  serveCommand(),
  inspectCommand(),
  convertCommand(),
  memoryCommand(),
  devicesCommand(),
  compareCommand(),
  modelsCommand(),
  distillCommand(),
  trainCommand(),
  watchCommand(),
  wordsCommand(),
  previewFactorsCommand(),
  workerCommand(),
]) {
  koala.addCommand(guarded(command));
}
guarded(koala);

/** Throws where commander would exit, and repeats no password of what was typed. */
function guarded(command: Command): Command {
  const outputError = (text: string, write: (text: string) => void) => write(withoutPasswords(text));
  return command.exitOverride().configureOutput({ outputError });
}

let running: Command | undefined;
koala.hook("preAction", (_, command) => {
  running = command;
});

stopAtFullOutput();
// A file at its largest: the write fails with EFBIG, but proper-lockfile would end the process where nobody listens.
process.on("SIGXFSZ", () => {});

try {
  await koala.parseAsync();
} catch (error) {
  if (error instanceof CommanderError) process.exitCode = error.exitCode === 0 ? 0 : exitCodes.usage;
  else report(onCommandLine(error, running));
}
