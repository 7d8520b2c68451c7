/** @file The page: its head, the form at the side, and the view beside it. */

import { signal } from "@preact/signals";
import { useEffect } from "preact/hooks";
import { Compare } from "./compare.js";
import { ask, Starting, start } from "./connecting.js";
import { dragging, onDrop } from "./drop.js";
import { Form } from "./form.js";
import { openGallery, select, selectedId } from "./gallery.js";
import { Gallery } from "./gallery-view.js";
import { GridAxes } from "./grid-axes.js";
import { GridView } from "./grid-view.js";
import { generateGrid, gridRunning, openLatestGrid, stopGrid } from "./grids.js";
import { Icon } from "./icon.js";
import { MaskEditor } from "./mask-editor.js";
import { Messages } from "./messages-view.js";
import { Stage } from "./preview.js";
import { cancel, generateNow, takeUp, tasks } from "./tasks.js";
import { setTheme, type Theme, theme, themes } from "./theme.js";

export type View = "generate" | "grid";

const viewNow = (): View => (location.hash === "#grid" ? "grid" : "generate");
export const view = signal<View>(viewNow());

async function begin(): Promise<void> {
  if (!(await ask())) return;
  await Promise.all([openGallery(), openLatestGrid()]);
  await takeUp();
}

/** Generates what the view is about. */
export const go = (): void =>
  void (view.value === "grid" ? gridRunning.value || generateGrid() : generateNow());

function onKey(event: KeyboardEvent): void {
  if (document.querySelector("dialog[open]")) return;
  if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) {
    event.preventDefault();
    go();
  } else if (event.key === "Escape" && view.value === "grid" && gridRunning.value) stopGrid();
  else if (event.key === "Escape" && tasks.value.length > 0) cancel();
  else if (event.key === "Escape" && selectedId.value !== undefined) void select(undefined);
}

export function App() {
  useEffect(() => {
    void begin();
    const onHash = () => (view.value = viewNow());
    addEventListener("hashchange", onHash);
    addEventListener("keydown", onKey);
    addEventListener("dragover", onDrop);
    addEventListener("dragleave", onDrop);
    addEventListener("drop", onDrop);
    return () => {
      removeEventListener("hashchange", onHash);
      removeEventListener("keydown", onKey);
      removeEventListener("dragover", onDrop);
      removeEventListener("dragleave", onDrop);
      removeEventListener("drop", onDrop);
    };
  }, []);
  return (
    <>
      <Head />
      <main class={`view ${view.value}${dragging.value ? " dragging" : ""}`}>
        {start.value.state === "ready" ? <Ready /> : <Starting again={() => void begin()} />}
      </main>
      <footer class="foot quiet">
        Images from such models are inventions: they are not made for, and must not pass as, true depictions
        of people or events.
      </footer>
      <Messages />
    </>
  );
}

function Ready() {
  const grid = view.value === "grid";
  return (
    <>
      <div class="side">
        <Form axes={grid ? <GridAxes /> : undefined} />
      </div>
      <div class="work">
        {grid ? (
          <GridView />
        ) : (
          <>
            <Stage />
            <Gallery />
          </>
        )}
      </div>
      <Compare />
      <MaskEditor />
    </>
  );
}

function Head() {
  return (
    <header class="head">
      <h1>
        <img src="/icon.svg" alt="" width="28" height="28" /> Koala
      </h1>
      <nav aria-label="Views">
        <a href="#process" aria-current={view.value === "generate" ? "page" : undefined}>
          Generate
        </a>
        <a href="#grid" aria-current={view.value === "grid" ? "page" : undefined}>
          Grid
        </a>
      </nav>
      <ThemeButton />
    </header>
  );
}

const themeNames: Readonly<Record<Theme, string>> = { system: "as the system", light: "light", dark: "dark" };
const themeIcons = { system: "contrast", light: "sun", dark: "moon" } as const;

function ThemeButton() {
  const now = theme.value;
  const next = themes[(themes.indexOf(now) + 1) % themes.length]!;
  const label = `Colours: ${themeNames[now]}. Change to ${themeNames[next]}.`;
  return (
    <button type="button" class="icon" aria-label={label} title={label} onClick={() => setTheme(next)}>
      <Icon name={themeIcons[now]} />
    </button>
  );
}
