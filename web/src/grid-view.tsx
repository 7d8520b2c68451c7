/** @file The grid as a table of images, with its progress and actions. */

import { cellSettings, cellsOf } from "../../src/grid/axes.js";
import { axisLabels, gridCaption } from "../../src/grid/sheet-content.js";
import type { SavedCell, SavedGrid } from "./database.js";
import { MeanCell, meansOf, useMeans } from "./grid-means.js";
import { averages, cellPreviews, continueGrid, grid, gridRunning, removeGrid, stopGrid } from "./grids.js";
import { Icon, Keys } from "./icon.js";
import { download, fileName, urlOf } from "./images.js";
import { showMessage } from "./messages.js";
import { applySettings } from "./settings.js";
import { sheetOf } from "./sheet.js";
import { Warnings } from "./warnings-view.js";

export function GridView() {
  const shown = grid.value;
  return (
    <section class="grid-view" aria-label="Grid">
      {shown ? <Table shown={shown} /> : <NoGrid />}
    </section>
  );
}

function NoGrid() {
  return (
    <div class="empty">
      <h2>Compare settings in a table</h2>
      <p class="quiet">
        Choose which settings vary across and down, then press "Generate the grid". All other settings stay
        the same, so that you see the effect of these two.
      </p>
      <p class="quiet">
        A prompt with alternatives, "a {"{red|blue}"} {"{cup|book}"}", has a place for each axis: choose
        "prompt words" for both. "Averages" then shows what the images of a word have in common.
      </p>
    </div>
  );
}

function Table({ shown }: { shown: SavedGrid }) {
  const { axes, base, cells } = shown;
  const rows = axes.y ? axisLabels(axes.y) : [""];
  const columns = axisLabels(axes.x);
  const means = useMeans(shown, averages.value);
  return (
    <>
      <div class="grid-head">
        <div>
          <h2>{base.prompt}</h2>
          <p class="quiet">{gridCaption(base, axes)}</p>
        </div>
        <GridActions shown={shown} />
      </div>
      <Warnings warnings={warningsOf(shown)} />
      {/* biome-ignore lint/a11y/noNoninteractiveTabindex: it scrolls, and the keyboard must reach it */}
      <section class="table" tabIndex={0} aria-label="The grid's images">
        <table>
          <thead>
            <tr>
              {axes.y && <td />}
              {columns.map((label) => (
                <th key={label} scope="col">
                  {label}
                </th>
              ))}
              {means && means.rows.length > 0 && <th scope="col">mean</th>}
            </tr>
          </thead>
          <tbody>
            {rows.map((label, row) => (
              <tr key={label}>
                {axes.y && <th scope="row">{label}</th>}
                {columns.map((name, column) => {
                  const index = row * columns.length + column;
                  return (
                    <td key={name}>
                      <CellView
                        shown={shown}
                        cell={cells[index] ?? null}
                        index={index}
                        label={`${name} ${label}`}
                      />
                    </td>
                  );
                })}
                {means && means.rows.length > 0 && (
                  <MeanCell mean={means.rows[row]} label={label || "all columns"} />
                )}
              </tr>
            ))}
            {means && means.columns.length > 0 && (
              <tr>
                <th scope="row">mean</th>
                {columns.map((name, column) => (
                  <MeanCell key={name} mean={means.columns[column]} label={name} />
                ))}
                {means.rows.length > 0 && <MeanCell mean={means.all} label="the whole grid" />}
              </tr>
            )}
          </tbody>
        </table>
      </section>
    </>
  );
}

/** Each warning once, with the number of images if it does not concern all of them. */
function warningsOf({ cells }: SavedGrid): string[] {
  const done = cells.filter((cell) => cell !== null);
  const counts = new Map<string, number>();
  for (const { warnings = [] } of done)
    for (const warning of warnings) counts.set(warning, (counts.get(warning) ?? 0) + 1);
  return [...counts].map(([warning, count]) =>
    count === done.length ? warning : `${warning} (${count} of ${done.length} images)`,
  );
}

function GridActions({ shown }: { shown: SavedGrid }) {
  const done = shown.cells.filter((cell) => cell !== null).length;
  const total = shown.cells.length;
  const running = gridRunning.value;
  const save = async () =>
    download(
      await sheetOf(shown, averages.value ? await meansOf(shown) : undefined),
      fileName(`grid ${shown.base.prompt}`, String(shown.base.seed ?? "")),
    );
  return (
    <div class="grid-progress">
      {done < total && <progress max={total} value={done} aria-label="Images of the grid" />}
      <p role="status">{done < total ? `${done} of ${total} images` : `All ${total} images`}</p>
      <div class="actions">
        {running ? (
          <button type="button" onClick={stopGrid} aria-keyshortcuts="Escape">
            Stop <Keys>Esc</Keys>
          </button>
        ) : (
          done < total && (
            <button type="button" class="primary" onClick={() => void continueGrid(shown)}>
              Continue
            </button>
          )
        )}
        {total > 1 && (
          <button
            type="button"
            aria-pressed={averages.value}
            onClick={() => (averages.value = !averages.value)}
          >
            Averages
          </button>
        )}
        <button type="button" disabled={done === 0} onClick={() => void save()}>
          <Icon name="download" /> Save as PNG
        </button>
        <button type="button" disabled={running} onClick={() => void removeGrid()}>
          <Icon name="trash" /> Delete
        </button>
      </div>
    </div>
  );
}

type CellProps = { shown: SavedGrid; cell: SavedCell | null; index: number; label: string };

function CellView({ shown, cell, index, label }: CellProps) {
  const { width = 512, height = 512 } = shown.base;
  const preview = cellPreviews.value[index];
  if (!cell) {
    return (
      <svg
        class="frame"
        viewBox={`0 0 ${width} ${height}`}
        role="img"
        aria-label={`${label}: not generated yet`}
      >
        <rect class="blank" width={width} height={height} />
        {preview && <image href={preview} width={width} height={height} preserveAspectRatio="none" />}
      </svg>
    );
  }
  const use = () => {
    const { axes, base } = shown;
    const own = cellSettings(base, axes, cellsOf(axes)[index]!);
    const problem = applySettings({ ...cell.settings, prompt: own.prompt });
    showMessage("note", problem ?? `The settings of ${label.trim()} were applied.`);
  };
  return (
    <button
      type="button"
      class="cell"
      title="Use these settings"
      aria-label={`Use the settings of ${label}`}
      onClick={use}
    >
      <img src={urlOf(cell.file)} width={width} height={height} alt="" />
    </button>
  );
}
