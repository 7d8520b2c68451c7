/** @file Generates the runs of `/app/runs.json` on each device of this browser, and shows what its server says of the results. */

import "./main.js";

const { body } = document;
body.innerHTML =
  "<h1>Koala in this browser</h1><p>Keep this page open until it says that it is done.</p><pre></pre>";

/** Posts what came out, and shows the answer. */
async function report(result) {
  const answer = await fetch("/report", { method: "POST", body: JSON.stringify(result) });
  body.querySelector("pre").append(`${await answer.text()}\n`);
}

const { runs, devices } = await (await fetch("/app/runs.json")).json();
await report({ browser: navigator.userAgent });
for (const loading of devices)
  for (const { model, request, options } of runs) {
    const started = performance.now();
    const about = () => ({ model, device: loading.device, seconds: (performance.now() - started) / 1000 });
    try {
      const url = `${location.origin}/${model}`;
      const { latents, data, reason } = await globalThis.generate(url, request, { ...options, ...loading });
      await report({ ...about(), latents, data, reason });
    } catch (error) {
      await report({ ...about(), error: error.message });
    }
  }
await report({ done: true });
