/** @file Builds the pages of `koala serve` (index.html) and `koala watch` (monitor.html) into `dist/web`. */

import { defineConfig } from "vite";

export default defineConfig({
  root: import.meta.dirname,
  base: "/",
  esbuild: { jsx: "automatic", jsxImportSource: "preact" },
  build: {
    outDir: "../dist/web",
    emptyOutDir: true,
    target: "es2022",
    // The servers' Content-Security-Policy allows files only, nothing inline.
    assetsInlineLimit: 0,
    modulePreload: false,
    rollupOptions: { input: ["index.html", "monitor.html"].map((page) => `${import.meta.dirname}/${page}`) },
  },
});
