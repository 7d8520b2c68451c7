/** @file The program behind `koala`: mounts one file per subcommand, and runs the one that is given. */

import { readFileSync } from "node:fs";
import { Command, CommanderError } from "commander";
import { packageFile } from "../package-files.js";
import { onCommandLine } from "./flag-names.js";
import { exitCodes, report, stopAtFullOutput, withoutPasswords } from "./terminal.js";

const { version } = JSON.parse(readFileSync(packageFile("package.json"), "utf8")) as {
  version: string;
};

const koala = new Command("koala")
  .description(
    "Text-to-image with KOALA, SDXL and Stable Diffusion, from diffusers folders as they lie on the Hub.",
  )
  .version(version)
  .addHelpText("after", '\nExample:\n  koala generate "a red apple, flat icon"\n')
  .showHelpAfterError("(add --help for the options)");

/** Opens only the subcommand that is given: all of them with what they import take seconds. Help lists all. */
const subcommands: Readonly<Record<string, () => Promise<Command>>> = {
  generate: async () => (await import("./generate.js")).generateCommand(),
  explain: async () => (await import("./explain.js")).explainCommand(),
  grid: async () => (await import("./grid.js")).gridCommand(),
  serve: async () => (await import("./serve.js")).serveCommand(),
  mcp: async () => (await import("./mcp.js")).mcpCommand(),
  inspect: async () => (await import("./inspect.js")).inspectCommand(),
  convert: async () => (await import("./convert.js")).convertCommand(),
  memory: async () => (await import("./memory.js")).memoryCommand(),
  devices: async () => (await import("./devices.js")).devicesCommand(),
  compare: async () => (await import("./compare.js")).compareCommand(),
  evaluate: async () => (await import("./evaluate.js")).evaluateCommand(),
  probe: async () => (await import("./probe.js")).probeCommand(),
  card: async () => (await import("./card.js")).cardCommand(),
  models: async () => (await import("./models.js")).modelsCommand(),
  distill: async () => (await import("./distill.js")).distillCommand(),
  train: async () => (await import("./train.js")).trainCommand(),
  watch: async () => (await import("./watch.js")).watchCommand(),
  words: async () => (await import("./words.js")).wordsCommand(),
  "preview-factors": async () => (await import("./preview-factors.js")).previewFactorsCommand(),
  worker: async () => (await import("./worker.js")).workerCommand(),
};

const given = process.argv[2] ?? "";
const opened = Object.hasOwn(subcommands, given) ? [subcommands[given]!] : Object.values(subcommands);
const needed = ["-V", "--version"].includes(given) ? [] : opened;
for (const command of await Promise.all(needed.map((open) => open()))) koala.addCommand(guarded(command));
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
