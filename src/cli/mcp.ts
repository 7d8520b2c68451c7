/** @file `koala mcp`: tools for programs that speak the Model Context Protocol, over standard input and output. */

import { once } from "node:events";
import { Command } from "commander";
import { makeFolder } from "../files/file-system.js";
import { modelOrBundled } from "../hub/bundled-models.js";
import { openModelRegistry } from "../jobs/model-registry.js";
import { findPlaces } from "../jobs/placements.js";
import { processorThread } from "../jobs/processor-thread.js";
import { versions } from "../pipeline/metadata/versions.js";
import { dim } from "./colors.js";
import { notePlace, type PlacementFlags, placementFlags, withPlacementOptions } from "./device.js";
import { threadsOption } from "./numbers.js";
import { noteSafety, type ServedSafetyFlags, servedSafety, withServedSafetyOptions } from "./safety.js";
import { folders, modelsOption } from "./serve.js";

type Options = PlacementFlags &
  ServedSafetyFlags & { model: string[]; folder?: string; threads?: number; quiet?: boolean };

export function mcpCommand(): Command {
  const command = new Command("mcp")
    .description(
      "Tools for assistants (Model Context Protocol): generate, edit, list models, read and explain images.",
    )
    .addOption(modelsOption())
    .option(
      "--folder <path>",
      "write images there, and read those that tools name (default: only in answers)",
    )
    .option("--threads <n>", "default: one per core", threadsOption)
    .option("-q, --quiet", "print nothing but errors");
  return withServedSafetyOptions(withPlacementOptions(command)).addHelpText("after", help).action(run);
}

const help = `
The client starts it and speaks over standard input and output, as in its configuration:
  { "mcpServers": { "koala": { "command": "npx", "args": ["koala", "mcp", "--folder", "/home/me/images"] } } }
`;

async function run(options: Options): Promise<void> {
  // Help of all commands opens this file, and must not open the SDK.
  const { StdioServerTransport } = await import("@modelcontextprotocol/sdk/server/stdio.js");
  const { mcpServer } = await import("./mcp-tools.js");
  const { threads, folder, quiet = false } = options;
  // Standard output is the protocol's.
  const print = (line: string) => void (quiet || process.stderr.write(`${line}\n`));
  const model = options.model.length > 0 ? options.model : [modelOrBundled(undefined)];
  const safety = await servedSafety(options);
  if (folder !== undefined) await makeFolder(folder);
  const placements = await findPlaces(placementFlags(options), (place) => notePlace(place, print));
  const models = await openModelRegistry(await folders({ model, quiet }, safety), { safety, placements });
  noteSafety(
    [...models.values()].map(({ info }) => info),
    print,
  );
  const processor = processorThread(models, {
    ...(threads !== undefined && { threads }),
    onNotice: (line) => print(dim(line)),
  });
  const server = mcpServer({ models, processor, folder, version: versions().app.split(" ")[1]! });
  const ended = once(process.stdin, "end");
  await server.connect(new StdioServerTransport());
  await ended;
  await server.close();
  await processor.close();
}
