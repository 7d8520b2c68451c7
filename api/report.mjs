/**
 * @file `npm run api`: compares the public surface of each entry point of package.json with its report in this folder,
 * and fails where they differ; `npm run api -- --update` writes the reports. Reads the declarations in dist.
 */

import { readFileSync } from "node:fs";
import { basename } from "node:path";
import { fileURLToPath } from "node:url";
import { Extractor, ExtractorConfig } from "@microsoft/api-extractor";

const root = fileURLToPath(new URL("..", import.meta.url));
const { exports } = JSON.parse(readFileSync(`${root}package.json`, "utf8"));
const declarations = Object.values(exports).flatMap((target) => target.types ?? []);
const localBuild = process.argv.includes("--update");

for (const types of declarations) {
  const config = ExtractorConfig.prepare({
    configObjectFullPath: undefined,
    packageJsonFullPath: `${root}package.json`,
    configObject: {
      projectFolder: root,
      mainEntryPointFilePath: `${root}${types}`,
      compiler: { tsconfigFilePath: `${root}tsconfig.build.json`, skipLibCheck: true },
      apiReport: {
        enabled: true,
        reportFileName: basename(types, ".d.ts"),
        reportFolder: `${root}api`,
        reportTempFolder: `${root}out/api`,
      },
      docModel: { enabled: false },
      dtsRollup: { enabled: false },
      tsdocMetadata: { enabled: false },
      messages: {
        // Types that a signature names and that are not exported. Of the rest, Biome and typedoc have rules.
        extractorMessageReporting: {
          default: { logLevel: "none" },
          "ae-forgotten-export": { logLevel: "error" },
        },
        tsdocMessageReporting: { default: { logLevel: "none" } },
        compilerMessageReporting: { default: { logLevel: "error" } },
      },
    },
  });
  const { succeeded } = Extractor.invoke(config, { localBuild });
  if (!succeeded) process.exitCode = 1;
}
if (process.exitCode === 1)
  console.error(
    "The public surface differs from api/*.api.md, or names types that no entry point exports. Export them; then npm run api -- --update",
  );
