/** @file The report of a probe as one HTML file that needs no other: its images are in it, and it runs no script. */

import {
  conditionsOf,
  groupName,
  meaningsOf,
  type ProbeReport,
  type ProbeTable,
  reportTitle,
  tablesOf,
} from "./probe-report.js";

export type ProbeImages = {
  /** PNG files by group and model. */
  means: readonly (readonly Uint8Array[])[];
  /** WebP files by model, prompt and seed. */
  small: readonly (readonly (readonly Uint8Array[])[])[];
};

export function probePage(report: ProbeReport, images: ProbeImages): string {
  const title = escaped(reportTitle(report));
  const list = (lines: readonly string[]) =>
    `<ul>${lines.map((line) => `<li>${emphasised(line)}</li>`).join("")}</ul>`;
  const tables = tablesOf(report);
  const templates = [...new Set(report.groups.map(({ template }) => template))];
  return `<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>${title}</title>
<style>${style}</style>
<main>
<h1>${title}</h1>
${list(conditionsOf(report))}
${report.warnings.length > 0 ? `<h2>Warnings</h2>${list(report.warnings)}` : ""}
${templates.map((template) => templateSection(template, { report, images, tables })).join("\n")}
<h2>What the figures mean</h2>
${list(meaningsOf(report))}
</main>
</html>
`;
}

type Content = { report: ProbeReport; images: ProbeImages; tables: readonly ProbeTable[] };

function templateSection(template: string, { report, images, tables }: Content): string {
  const labels = [report.model.label, ...(report.reference ? [report.reference.label] : [])];
  const means = report.groups.flatMap((group, g) => {
    if (group.template !== template) return [];
    const name = group.place === undefined ? "all" : `${group.place}: ${group.word}`;
    const shown = images.means[g]!.map((file, i) =>
      image(file, "png", `Mean of ${groupName(group)}, ${labels[i]}`),
    );
    return [`<figure>${shown.join("")}<figcaption>${escaped(name)}</figcaption></figure>`];
  });
  const all = report.images.flatMap(({ template: of, prompt }, p) => {
    if (of !== template) return [];
    const rows = images.small.map((side, i) => {
      const shown = side[p]!.map((file, s) =>
        image(file, "webp", `${prompt}, seed ${report.seeds[s]}, ${labels[i]}`),
      );
      return `<div class="row">${labels.length > 1 ? `<small>${escaped(labels[i]!)}</small>` : ""}${shown.join("")}</div>`;
    });
    return [`<h3>${escaped(prompt)}</h3>${rows.join("")}`];
  });
  return `<section>
<h2>${escaped(template)}</h2>
${tables
  .filter((table) => table.template === template)
  .map(tableOf)
  .join("\n")}
<h3>Mean images${labels.length > 1 ? `: ${escaped(labels.join(" and "))}` : ""}</h3>
<div class="means">${means.join("")}</div>
<details><summary>All ${all.length} prompts' images</summary>${all.join("")}</details>
</section>`;
}

function tableOf({ question, head, rows }: ProbeTable): string {
  const body = rows.map(({ cells, share, differs }) => {
    const bar = ` style="--share:${share.toFixed(1)}%"`;
    const shown = cells.map((text, i) => `<td${i === 3 ? bar : ""}>${escaped(text)}</td>`);
    return `<tr${differs ? ' class="differs"' : ""}>${shown.join("")}</tr>`;
  });
  const titles = head.map((text) => `<th scope="col">${escaped(text)}</th>`).join("");
  return `<table><caption>${escaped(question)}</caption><thead><tr>${titles}</tr></thead><tbody>${body.join("")}</tbody></table>`;
}

const image = (file: Uint8Array, type: "png" | "webp", alt: string): string =>
  `<img alt="${escaped(alt)}" loading="lazy" src="data:image/${type};base64,${Buffer.from(file).toString("base64")}">`;

const entities: Readonly<Record<string, string>> = { "&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;" };
const escaped = (text: string): string => text.replace(/[&<>"]/g, (character) => entities[character]!);
const emphasised = (text: string): string => escaped(text).replace(/\*\*(.+?)\*\*/g, "<strong>$1</strong>");

const style = `
:root { color-scheme: light dark; font: 16px/1.5 system-ui, sans-serif; }
main { max-width: 70rem; margin: 0 auto; padding: 1rem; }
section { border-top: 1px solid #8886; margin-top: 2rem; }
table { border-collapse: collapse; margin: 1rem 0; display: block; overflow-x: auto; }
caption { text-align: left; font-weight: 600; padding: .25rem 0; }
th, td { text-align: left; padding: .15rem .75rem .15rem .25rem; white-space: nowrap; font-variant-numeric: tabular-nums; }
td:first-child:not(:empty) { font-weight: 600; }
td[style] { background: linear-gradient(to right, #4a8c5a55 var(--share), transparent 0); }
.differs td:last-child { font-weight: 600; }
.means { display: flex; flex-wrap: wrap; gap: .75rem; }
figure { margin: 0; }
figcaption { max-width: 16rem; }
img { max-width: 8rem; height: auto; margin: 0 2px 2px 0; }
.row img { max-width: 4.5rem; }
.row small { display: block; }
`;
