/** @file The whole page: header, form, the view beside it, dialogs and messages. */

import { useEffect } from "preact/hooks";
import { Compare } from "./compare.js";
import { ConnectionStatus, connect, connection } from "./connecting.js";
import { dragging, onDrop } from "./drop.js";
import { Form } from "./form.js";
import { FullView, fullViewOpen } from "./full-view.js";
import { openGallery, select, selectedId } from "./gallery.js";
import { Gallery } from "./gallery-view.js";
import { GridAxes } from "./grid-axes.js";
import { GridView } from "./grid-view.js";
import { gridRunning, openLatestGrid, stopGrid } from "./grids.js";
import { MaskEditor } from "./mask-editor.js";
import { Messages } from "./messages-view.js";
import { PlaceChoice } from "./place-choice.js";
import { Preview } from "./preview.js";
import { watchQueue } from "./queue.js";
import { QueueList } from "./queue-view.js";
import { cancel, resumeTasks, tasks } from "./tasks.js";
import { ThemeButton } from "./theme-button.js";
import { TourView } from "./tour-view.js";
import { generate, updateView, view } from "./view.js";

async function start(): Promise<void> {
  if (!(await connect())) return;
  await Promise.all([openGallery(), openLatestGrid()]);
  watchQueue();
  await resumeTasks();
}

function onKey(event: KeyboardEvent): void {
  if (document.querySelector("dialog[open]")) return;
  if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) {
    event.preventDefault();
    generate();
  } else if (event.key === "Escape" && view.value === "grid" && gridRunning.value) stopGrid();
  else if (event.key === "Escape" && tasks.value.length > 0) cancel();
  else if (event.key === "Escape" && selectedId.value !== undefined) void select(undefined);
}

export function App() {
  useEffect(() => {
    void start();
    const controller = new AbortController();
    const { signal } = controller;
    addEventListener("hashchange", updateView, { signal });
    addEventListener("keydown", onKey, { signal });
    for (const type of ["dragover", "dragleave", "drop"] as const) addEventListener(type, onDrop, { signal });
    return () => controller.abort();
  }, []);
  return (
    <>
      <Header />
      <main
        class={`view ${view.value === "tour" ? "tour-page" : view.value}${dragging.value ? " dragging" : ""}`}
      >
        {connection.value.state === "ready" ? <Ready /> : <ConnectionStatus retry={() => void start()} />}
      </main>
      <footer class="page-footer quiet">
        Generated images are not real. Do not present them as true depictions of people or events.
      </footer>
      {!fullViewOpen.value && <Messages />}
    </>
  );
}

function Ready() {
  const grid = view.value === "grid";
  if (view.value === "tour") return <TourView />;
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
            <Preview />
            <QueueList />
            <Gallery />
          </>
        )}
      </div>
      <Compare />
      <MaskEditor />
      <FullView />
    </>
  );
}

function Header() {
  return (
    <header class="page-header">
      <h1>
        <img src={`${import.meta.env.BASE_URL}icon.svg`} alt="" width="28" height="28" /> Koala
      </h1>
      <nav aria-label="Views">
        <a href="#generate" aria-current={view.value === "generate" ? "page" : undefined}>
          Generate
        </a>
        <a href="#grid" aria-current={view.value === "grid" ? "page" : undefined}>
          Grid
        </a>
        <a href="#tour" aria-current={view.value === "tour" ? "page" : undefined}>
          Tour
        </a>
      </nav>
      <PlaceChoice />
      <ThemeButton />
    </header>
  );
}
