/** @file Entry of the page that `koala watch` shows. */

import { render } from "preact";
import { chartCss } from "../../../src/monitor/chart.js";
import "../style/base.css";
import "../style/layout.css";
import "../style/fields.css";
import "../style/progress.css";
import "../style/monitor.css";
import { applyTheme } from "../theme.js";
import { MonitorPage } from "./monitor-page.js";
import { showProgressInTitle, watchRun } from "./run-data.js";

/** The charts' own CSS, in the colours of the page. */
function styleCharts(): void {
  const sheet = new CSSStyleSheet();
  const colours = { ground: "var(--surface)", ink: "var(--ink)", quiet: "var(--quiet)", grid: "var(--line)" };
  sheet.replaceSync(chartCss({ ...colours, line: "var(--accent)", validation: "var(--warning-ink)" }));
  document.adoptedStyleSheets.push(sheet);
}

applyTheme();
styleCharts();
showProgressInTitle();
watchRun();
render(<MonitorPage />, document.getElementById("page")!);
