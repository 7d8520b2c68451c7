/** @file Generates the runs of `/app/runs.json` on each device of this browser, compares, shows and posts what came out. */

import "./main.js";

const body = document.body;
body.innerHTML =
  "<h1>Koala in this browser</h1><p>Keep this page open until it says that it is done.</p><pre></pre>";
const shown = body.querySelector("pre");

async function say(line) {
  shown.append(`${line}\n`);
  await fetch("/report", { method: "POST", body: line });
}

const most = (values) => values.reduce((a, b) => Math.max(a, Math.abs(b)), 0);

function compared({ latents, data }, expected) {
  const distance = most(latents.map((v, i) => v - expected.latents[i])) / most(expected.latents);
  const squares = data.reduce((sum, v, i) => sum + (v - expected.data[i]) ** 2, 0) / data.length;
  const decibels = squares === 0 ? Number.POSITIVE_INFINITY : 10 * Math.log10(255 ** 2 / squares);
  const passed = distance < 1e-3 && decibels > 60;
  return {
    passed,
    text: `latents ${distance.toExponential(1)} of 1e-3, image ${decibels.toFixed(1)} of 60 dB`,
  };
}

const { runs, devices } = await (await fetch("/app/runs.json")).json();
let failed = 0;
await say(navigator.userAgent);
for (const options of devices)
  for (const { model, request, expected, ...run } of runs) {
    const started = performance.now();
    const seconds = () => `${((performance.now() - started) / 1000).toFixed(1)} s`;
    try {
      const url = `${location.origin}/${model}`;
      const made = await globalThis.generate(url, request, { ...run.options, ...options });
      const { passed, text } = compared(made, expected);
      if (!passed) failed++;
      await say(
        `${passed ? "ok   " : "FAIL "} ${made.device} ${model}: ${text}, ${seconds()} (${made.reason})`,
      );
    } catch (error) {
      failed++;
      await say(`FAIL  ${options.device} ${model}: ${error.message}`);
      if (/^device:/.test(error.message)) break;
    }
  }
await say(`done: ${failed} failed`);
