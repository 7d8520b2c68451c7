/** @file The page of a run as one HTML text. It calls nothing but this server; all data comes as JSON. */

import { curveStyle } from "./curves.js";
import { pageScript } from "./page-script.js";
import { pageStyle } from "./page-style.js";

/** The page, its style and script allowed by `nonce`. */
export function page(nonce: string): string {
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>koala watch</title>
<link rel="icon" href="data:image/svg+xml,${encodeURIComponent(icon)}">
<style nonce="${nonce}">
${pageStyle}
${curveStyle}
</style>
</head>
<body>
${body}
<script type="module" nonce="${nonce}">
${pageScript}
</script>
</body>
</html>
`;
}

const icon =
  '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 16 16"><rect width="16" height="16" rx="3" fill="#2563b8"/>' +
  '<path d="M3 3.5c1 6.5 4 8.5 10 9" fill="none" stroke="#fff" stroke-width="2" stroke-linecap="round"/></svg>';

const body = `<header>
  <div class="head">
    <h1 id="name">koala watch</h1>
    <span id="status" class="status" role="status"></span>
    <span id="models" class="quiet"></span>
  </div>
  <progress id="progress" max="1" value="0" aria-label="steps done"></progress>
  <dl id="facts" class="facts"></dl>
  <p id="problem" class="problem" role="alert" hidden></p>
</header>
<main>
  <section aria-labelledby="curves-title">
    <div class="bar">
      <h2 id="curves-title">Curves</h2>
      <label>smoothing <input id="window" type="range" min="0" max="20" step="0.5" value="2.5">
        <output id="window-value" for="window">2.5 %</output></label>
      <label>scale <select id="scale"><option>auto</option><option>linear</option><option>log</option></select></label>
      <a href="curves.svg" download="curves.svg">save as SVG</a>
    </div>
    <div id="panels" class="panels"><p class="quiet">No steps yet.</p></div>
  </section>
  <section id="images" aria-labelledby="images-title" hidden>
    <div class="bar">
      <h2 id="images-title">Images</h2>
      <label class="wide">step <input id="step" type="range" min="0" max="0" value="0">
        <output id="step-value" for="step"></output></label>
    </div>
    <div id="rows"></div>
  </section>
  <section aria-labelledby="options-title">
    <details><summary><h2 id="options-title">Options</h2></summary><dl id="options" class="options"></dl></details>
  </section>
</main>
<noscript><p class="problem">This page needs JavaScript; curves.svg shows the curves without it.</p></noscript>`;
