/**
 * @file The page's script, as the browser gets it: JavaScript in a text, as the build compiles for Node only.
 * Text from the run is only ever set as textContent; the charts are the server's own, escaped SVG.
 */

export const pageScript = `
const $ = (id) => document.getElementById(id);
const element = (tag, properties = {}, ...children) => {
  const made = Object.assign(document.createElement(tag), properties);
  made.append(...children);
  return made;
};
const whole = (n) => n.toLocaleString("en");
const number = (n) => {
  if (n === null || n === undefined) return "not finite";
  return n !== 0 && Math.abs(n) < 1e-3 ? n.toExponential(3) : String(Number(n.toPrecision(4)));
};
const duration = (s) => {
  if (s < 60) return Math.round(s) + " s";
  const minutes = Math.round(s / 60);
  return minutes < 60 ? minutes + " min" : Math.floor(minutes / 60) + " h " + (minutes % 60) + " min";
};
const json = async (path) => {
  const response = await fetch(path);
  if (!response.ok) throw new Error(await response.text());
  return response.json();
};

// ---- progress and options

const pairs = (list, entries) => {
  const before = list.dataset.shown;
  const now = JSON.stringify(entries);
  if (before === now) return;
  list.dataset.shown = now;
  list.replaceChildren(
    ...entries.map(([name, value]) =>
      element("div", {}, element("dt", { textContent: name }), element("dd", { textContent: value })),
    ),
  );
};

const statusTexts = {
  waiting: "waiting for the first step",
  running: "running",
  quiet: "no step lately",
  finished: "finished",
};

function showState({ name, run, progress, samples, problem }) {
  document.title = Math.floor((100 * progress.step) / progress.steps) + " % " + name;
  $("name").textContent = name;
  $("models").textContent = Object.entries(run.models).map(([role, model]) => role + " " + model).join(" · ");
  showStatus(progress.status, statusTexts[progress.status]);
  $("progress").value = Math.min(1, progress.step / progress.steps);
  $("problem").hidden = !problem;
  $("problem").textContent = problem ?? "";
  pairs($("facts"), facts(run, progress));
  $("options").replaceChildren(
    ...Object.entries({ command: run.command, ...run.models, ...run.options }).flatMap(([key, value]) => [
      element("dt", { textContent: key }),
      element("dd", { textContent: typeof value === "string" ? value : JSON.stringify(value) }),
    ]),
  );
  showSamples(samples);
}

function facts(run, { step, steps, last, secondsLeft, status }) {
  const when = (time) => new Date(time).toLocaleString(undefined, { dateStyle: "medium", timeStyle: "short" });
  const shown = [["step", whole(step) + " of " + whole(steps)]];
  if (last) {
    shown.push(["epoch", number(last.epoch)], ["loss", number(last.loss)]);
    shown.push(["images/s", number(last.imagesPerSecond)]);
  }
  if (secondsLeft != null && status === "running") shown.push(["left", duration(secondsLeft)]);
  shown.push(["started", when(run.started)]);
  if (last && status !== "running") shown.push(["last step", when(last.time)]);
  return shown;
}

function showStatus(status, text) {
  $("status").dataset.status = status;
  $("status").textContent = text;
}

// ---- curves

let panels = [];
let pointed;

let asked = 0;

async function drawCurves() {
  const mine = ++asked;
  const drawn = await json("curves.json?window=" + $("window").value + "&scale=" + $("scale").value);
  // A later question may have been answered before this one.
  if (mine !== asked || drawn.length === 0) return;
  panels = drawn;
  const holder = $("panels");
  const figures = new Map([...holder.children].map((figure) => [figure.dataset.key, figure]));
  const wanted = panels.map((panel) => {
    const figure = figures.get(panel.key) ?? newFigure(panel.key);
    figure.querySelector(".chart").innerHTML = panel.svg;
    return figure;
  });
  if (wanted.length !== holder.children.length || wanted.some((f, i) => holder.children[i] !== f)) {
    holder.replaceChildren(...wanted);
  }
  point(pointed);
}

function newFigure(key) {
  const chart = element("div", { className: "chart" });
  const figure = element("figure", { className: "panel", tabIndex: 0 }, chart);
  figure.append(element("p", { className: "read", hidden: true }));
  figure.dataset.key = key;
  figure.setAttribute("role", "group");
  figure.setAttribute("aria-label", key + ", left and right arrows read values");
  const panel = () => panels.find((p) => p.key === key);
  figure.addEventListener("pointermove", (event) => {
    const box = chart.getBoundingClientRect();
    const { plot, width, firstStep, lastStep } = panel();
    const share = (((event.clientX - box.left) / box.width) * width - plot.left) / plot.width;
    point(firstStep + Math.min(1, Math.max(0, share)) * (lastStep - firstStep));
  });
  figure.addEventListener("pointerleave", () => point(undefined));
  figure.addEventListener("blur", () => point(undefined));
  figure.addEventListener("keydown", (event) => {
    const points = pointsOf(panel());
    const at = pointed === undefined ? points.length : nearest(points, pointed);
    const move = { ArrowLeft: at - 1, ArrowRight: at + 1, Home: 0, End: points.length - 1 }[event.key];
    if (event.key === "Escape") point(undefined);
    if (move === undefined || points.length === 0) return;
    event.preventDefault();
    point(points[Math.min(points.length - 1, Math.max(0, move))][0]);
  });
  return figure;
}

const pointsOf = (panel) =>
  panel.points.length > 0 ? panel.points : panel.validation.map(({ step, value }) => [step, value, value]);

function nearest(points, step) {
  let best = 0;
  points.forEach(([s], i) => {
    if (Math.abs(s - step) < Math.abs(points[best][0] - step)) best = i;
  });
  return best;
}

// One step is read off all charts together.
function point(step) {
  pointed = step;
  for (const figure of document.querySelectorAll(".panel")) {
    const panel = panels.find((p) => p.key === figure.dataset.key);
    const svg = figure.querySelector("svg");
    for (const old of svg.querySelectorAll(".cross, .mark")) old.remove();
    const read = figure.querySelector(".read");
    const points = panel ? pointsOf(panel) : [];
    read.hidden = step === undefined || points.length === 0;
    figure.classList.toggle("reading", !read.hidden);
    if (read.hidden) continue;
    const [at, value, smooth] = points[nearest(points, step)];
    const mean = smooth === value ? "" : ", mean " + number(smooth);
    read.textContent = "step " + whole(at) + ": " + number(value) + mean;
    mark(svg, panel, at, smooth);
  }
}

function mark(svg, { plot, scale, firstStep, lastStep }, step, value) {
  const shape = (tag, attributes) => {
    const made = document.createElementNS("http://www.w3.org/2000/svg", tag);
    for (const [name, v] of Object.entries(attributes)) made.setAttribute(name, v);
    svg.append(made);
  };
  const x = plot.left + (plot.width * (step - firstStep)) / Math.max(1, lastStep - firstStep);
  shape("line", { class: "cross", x1: x, x2: x, y1: plot.top, y2: plot.top + plot.height });
  const { kind, low, high } = scale;
  const up = kind === "log" ? Math.log(value / low) / Math.log(high / low) : (value - low) / (high - low);
  if (value !== null && Number.isFinite(up)) {
    shape("circle", { class: "mark", cx: x, cy: plot.top + plot.height * (1 - up), r: 4 });
  }
}

// ---- images

let samples = [];
let chosen = 0;
let shownSamples = "";
const mostInStrip = 24;

const source = (sample, image) => "samples/" + sample.folder + "/" + image.file;
const sameRow = (a, b) => a.prompt === b.prompt && String(a.seed) === String(b.seed);
const imageOf = (sample, row) => sample.images.find((image) => sameRow(image, row));

function showSamples(list) {
  if (JSON.stringify(list) === shownSamples) return;
  shownSamples = JSON.stringify(list);
  const atEnd = chosen >= samples.length - 1;
  samples = list;
  $("images").hidden = samples.length === 0;
  if (samples.length === 0) return;
  $("step").max = samples.length - 1;
  drawRows();
  choose(atEnd ? samples.length - 1 : chosen);
}

function drawRows() {
  const rows = [];
  for (const { images } of samples) {
    for (const image of images) if (!rows.some((row) => sameRow(row, image))) rows.push(image);
  }
  const apart = (samples.length - 1) / (mostInStrip - 1);
  const strip = samples.length <= mostInStrip
    ? samples.map((_, i) => i)
    : Array.from({ length: mostInStrip }, (_, i) => Math.round(i * apart));
  $("rows").replaceChildren(
    ...rows.map((row) => {
      const prompt = element("p", { textContent: row.prompt || "(no prompt)" });
      prompt.append(" ", element("span", { className: "quiet", textContent: "seed " + row.seed }));
      const thumbs = element("div", { className: "strip" }, ...strip.map((i) => thumb(row, i)).filter(Boolean));
      const shown = element("img", { className: "shown" });
      return Object.assign(element("div", { className: "row" }, shown, prompt, thumbs), { sample: row });
    }),
  );
}

function thumb(row, i) {
  const image = imageOf(samples[i], row);
  if (!image) return undefined;
  const thumbnail = element("img", { loading: "lazy", alt: "", src: source(samples[i], image) });
  const button = element("button", { type: "button", onclick: () => choose(i) }, thumbnail, whole(samples[i].step));
  button.dataset.index = i;
  button.setAttribute("aria-label", "step " + samples[i].step);
  return button;
}

function choose(index) {
  chosen = index;
  const sample = samples[index];
  $("step").value = index;
  $("step").setAttribute("aria-valuetext", "step " + sample.step);
  $("step-value").textContent = whole(sample.step);
  for (const row of $("rows").children) {
    const image = imageOf(sample, row.sample);
    const shown = row.querySelector(".shown");
    shown.hidden = !image;
    if (image) shown.src = source(sample, image);
    shown.alt = row.sample.prompt + ", generated after step " + sample.step;
    for (const button of row.querySelectorAll(".strip button")) {
      const pressed = Number(button.dataset.index) === index;
      button.setAttribute("aria-pressed", String(pressed));
      if (pressed) {
        const strip = button.parentElement;
        strip.scrollLeft = button.offsetLeft - strip.offsetLeft - (strip.clientWidth - button.offsetWidth) / 2;
      }
    }
  }
}

// ---- news

// Runs work at most once per pause, however often it is asked to, and once more after the last asking.
const paced = (work, pause) => {
  let busy = false;
  let again = false;
  const run = async () => {
    again = busy;
    if (busy) return;
    busy = true;
    try {
      await work();
    } catch (error) {
      showStatus("unreachable", "not reachable");
    }
    setTimeout(() => {
      busy = false;
      if (again) run();
    }, pause);
  };
  return run;
};

const redraw = paced(async () => {
  showState(await json("state.json"));
  await drawCurves();
}, 1000);
const redrawCurves = paced(drawCurves, 40);

$("window").addEventListener("input", () => {
  $("window-value").textContent = $("window").value + " %";
  redrawCurves();
});
$("scale").addEventListener("input", redrawCurves);
$("step").addEventListener("input", () => choose(Number($("step").value)));

const events = new EventSource("events");
for (const name of ["open", "metrics", "samples", "problem"]) events.addEventListener(name, redraw);
events.addEventListener("error", () => showStatus("unreachable", "koala watch has ended"));
// A run that falls silent sends no news of it.
setInterval(redraw, 30_000);
redraw();
`;
