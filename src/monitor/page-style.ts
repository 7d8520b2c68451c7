/** @file The page's CSS: light and dark, phone to desktop. The charts' own rules are in curves.ts. */

export const pageStyle = `:root {
  color-scheme: light dark;
  --ground: #f5f6f8; --card: #ffffff; --ink: #1c2024; --quiet: #5c646d; --edge: #dfe3e8;
  --accent: #2563b8; --good: #17723b; --warn: #a04a08; --bad: #b3261e;
}
@media (prefers-color-scheme: dark) {
  :root {
    --ground: #0e1013; --card: #15181c; --ink: #e8eaed; --quiet: #9aa2ab; --edge: #2b3036;
    --accent: #6aa9f4; --good: #6cc58c; --warn: #f0a35c; --bad: #ff8a80;
  }
}
* { box-sizing: border-box; }
[hidden] { display: none !important; }
body { margin: 0; background: var(--ground); color: var(--ink); font: 15px/1.45 system-ui, sans-serif; }
header, main { max-width: 1280px; margin: 0 auto; padding: 0 20px; }
header { padding-top: 18px; }
h1 { font-size: 20px; margin: 0; overflow-wrap: anywhere; }
h2 { font-size: 16px; margin: 0; display: inline; }
.quiet { color: var(--quiet); }
.head { display: flex; flex-wrap: wrap; align-items: baseline; gap: 4px 12px; }
.status { border: 1px solid currentColor; border-radius: 999px; padding: 0 10px; font-size: 13px; color: var(--quiet); }
.status:empty { display: none; }
.status[data-status="running"] { color: var(--accent); }
.status[data-status="finished"] { color: var(--good); }
.status[data-status="quiet"] { color: var(--warn); }
.status[data-status="unreachable"] { color: var(--bad); }
progress { width: 100%; height: 8px; margin: 12px 0 8px; display: block; appearance: none; border: 0;
  border-radius: 4px; overflow: hidden; background: var(--edge); }
progress::-webkit-progress-bar { background: var(--edge); }
progress::-webkit-progress-value { background: var(--accent); }
progress::-moz-progress-bar { background: var(--accent); }
.facts { display: flex; flex-wrap: wrap; gap: 2px 24px; margin: 0; }
.facts div { display: flex; gap: 6px; align-items: baseline; }
.facts dt { color: var(--quiet); font-size: 13px; }
.facts dd { margin: 0; font-variant-numeric: tabular-nums; }
.problem { color: var(--bad); white-space: pre-wrap; overflow-wrap: anywhere; }
section { margin: 24px 0; }
.bar { display: flex; flex-wrap: wrap; align-items: center; gap: 6px 20px; margin-bottom: 10px; }
.bar label { display: flex; align-items: center; gap: 8px; color: var(--quiet); font-size: 13px; }
.bar output { color: var(--ink); min-width: 3.5em; font-variant-numeric: tabular-nums; }
.bar .wide { flex: 1 1 280px; }
.bar .wide input { flex: 1; min-width: 0; }
input, select { accent-color: var(--accent); font: inherit; color: inherit; }
select { background: var(--card); border: 1px solid var(--edge); border-radius: 6px; padding: 2px 6px; }
a { color: var(--accent); font-size: 13px; }
:focus-visible { outline: 2px solid var(--accent); outline-offset: 2px; }
.panels { display: grid; gap: 14px; grid-template-columns: repeat(auto-fill, minmax(min(340px, 100%), 1fr)); }
.panel { position: relative; margin: 0; background: var(--card); border: 1px solid var(--edge); border-radius: 10px;
  padding: 12px 12px 6px; touch-action: pan-y; }
.panel svg { display: block; width: 100%; height: auto; }
.panel .cross { stroke: var(--quiet); stroke-width: 1; stroke-dasharray: 3 3; }
.panel .mark { fill: var(--accent); stroke: var(--card); stroke-width: 1.5; }
.panel .read { position: absolute; right: 26px; top: 10px; margin: 0; font-size: 12px; pointer-events: none;
  font-variant-numeric: tabular-nums; }
.panel.reading .notes { visibility: hidden; }
.row { background: var(--card); border: 1px solid var(--edge); border-radius: 10px; padding: 12px; margin-bottom: 12px;
  display: grid; grid-template-columns: 224px 1fr; gap: 4px 16px; align-items: start; }
.row .shown { grid-row: span 2; width: 100%; aspect-ratio: 1; object-fit: contain; border-radius: 6px;
  background: var(--ground); }
.row p { margin: 0; overflow-wrap: anywhere; }
.strip { display: flex; gap: 8px; overflow-x: auto; padding: 4px; align-self: end; min-width: 0; }
.strip button { flex: none; border: 0; padding: 0; background: none; color: var(--quiet); font: inherit; font-size: 12px;
  cursor: pointer; border-radius: 6px; font-variant-numeric: tabular-nums; }
.strip img { display: block; width: 144px; height: 144px; margin-bottom: 5px; object-fit: contain; border-radius: 6px;
  background: var(--ground); outline: 1px solid var(--edge); }
.strip button[aria-pressed="true"] { color: var(--ink); font-weight: 600; }
.strip button[aria-pressed="true"] img { outline: 3px solid var(--accent); }
details { background: var(--card); border: 1px solid var(--edge); border-radius: 10px; padding: 10px 14px; }
summary { cursor: pointer; }
.options { display: grid; grid-template-columns: minmax(120px, max-content) 1fr; gap: 2px 18px; margin: 10px 0 4px;
  font-size: 14px; }
.options dt { color: var(--quiet); }
.options dd { margin: 0; overflow-wrap: anywhere; font-family: ui-monospace, monospace; font-size: 13px; }
@media (max-width: 640px) {
  header, main { padding-left: 12px; padding-right: 12px; }
  .row { grid-template-columns: 1fr; }
  .row .shown { grid-row: auto; max-height: 70vh; }
  .strip img { width: 84px; height: 84px; }
  .options { grid-template-columns: 1fr; }
  .options dt { margin-top: 6px; }
}`;
