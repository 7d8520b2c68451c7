/**
 * @file `npm run api`: compares the public surface of each entry point with its report in this folder, and fails where
 * they differ; `npm run api -- --update` writes the reports. Reads the declarations in dist: build first.
 */

import { Extractor, ExtractorConfig } from "@microsoft/api-extractor";

const root = new URL("..", import.meta.url).pathname;
const entries = ["index", "train", "server", "schedulers"];
const localBuild = process.argv.includes("--update");

for (const entry of entries) {
  const config = ExtractorConfig.prepare({
    configObjectFullPath: undefined,
    packageJsonFullPath: `${root}package.json`,
    configObject: {
      projectFolder: root,
      mainEntryPointFilePath: `${root}dist/${entry}.d.ts`,
      compiler: { tsconfigFilePath: `${root}tsconfig.build.json`, skipLibCheck: true },
      apiReport: {
        enabled: true,
        reportFileName: entry,
        reportFolder: `${root}api`,
        reportTempFolder: `${root}out/api`,
      },
      docModel: { enabled: false },
      dtsRollup: { enabled: false },
      tsdocMetadata: { enabled: false },
      messages: {
        // Types that a signature names and that are not exported; the rest is Biome's and typedoc's to say.
        extractorMessageReporting: {
          default: { logLevel: "none" },
          "ae-forgotten-export": { logLevel: "error" },
        },
        tsdocMessageReporting: { default: { logLevel: "none" } },
        compilerMessageReporting: { default: { logLevel: "error" } },
      },
    },
  });
  const result = Extractor.invoke(config, { localBuild, showVerboseMessages: false });
  if (!result.succeeded) process.exitCode = 1;
}
if (process.exitCode)
  console.error("The public surface is not that of api/*.api.md: npm run build && npm run api -- --update");
