/** @file What `npm run docs` builds into out/reference: a reference of every entry point of package.json, and the guides. */

import { readFileSync } from "node:fs";
import { OptionDefaults } from "typedoc";

const { exports } = JSON.parse(readFileSync(new URL("../package.json", import.meta.url), "utf8"));

/** @type {Partial<import("typedoc").TypeDocOptions>} */
export default {
  name: "koala-diffusion",
  tsconfig: "../tsconfig.build.json",
  entryPoints: Object.values(exports).flatMap(({ types }) =>
    types ? [types.replace("./dist/", "../src/").replace(".d.ts", ".ts")] : [],
  ),
  blockTags: [...OptionDefaults.blockTags, "@file"],
  readme: "../README.md",
  projectDocuments: [
    "../ARCHITECTURE.md",
    "../CONTRIBUTING.md",
    "models.md",
    "generate.md",
    "numerics.md",
    "performance.md",
    "training.md",
    "evaluation.md",
    "http-api.md",
    "guides/mcp.md",
    "guides/probe.md",
    "guides/card.md",
    "guides/safety.md",
    "guides/signing.md",
    "nano.md",
    "ablation.md",
    "log.md",
    "../nano/README.md",
    "../models/nano/README.md",
    "../SECURITY.md",
    "../CHANGELOG.md",
  ],
  out: "../out/reference",
  // Without it the address comes from the git remote, which not every clone has.
  sourceLinkTemplate: "https://github.com/koala-diffusion/koala-diffusion/blob/{gitRevision}/{path}#L{line}",
  includeVersion: true,
  excludePrivate: true,
  excludeInternal: true,
  treatWarningsAsErrors: true,
  validation: { notExported: true, invalidLink: true, notDocumented: false },
};
