/** @file Builds the page into `dist/web`, for a Content-Security-Policy that allows this server's files only. */

import { defineConfig } from "vite";

export default defineConfig({
  root: import.meta.dirname,
  base: "/",
  esbuild: { jsx: "automatic", jsxImportSource: "preact" },
  build: {
    outDir: "../dist/web",
    emptyOutDir: true,
    target: "es2022",
    // Every script is one that the policy allows: a file of this server.
    assetsInlineLimit: 0,
    modulePreload: false,
  },
});
