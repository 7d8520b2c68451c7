/** @file Where each word of an image's prompt went: a heat map over the image for the word under the pointer or focus. */

import { useSignal } from "@preact/signals";
import { useEffect, useRef } from "preact/hooks";
import { heatColour } from "../../src/image/heat-map.js";
import type { WordMaps } from "../../src/jobs/schemas.js";
import { backend } from "./chosen-backend.js";
import type { SavedFiles, SavedImage } from "./database.js";
import { urlOf } from "./images.js";
import { requestAgain } from "./settings.js";

type State = "closed" | "waiting" | WordMaps | { problem: string };

export function WordHeat({ image, files }: { image: SavedImage; files: SavedFiles | undefined }) {
  const state = useSignal<State>("closed");
  const stop = useRef(new AbortController());
  useEffect(() => () => stop.current.abort(), []);
  const ask = async () => {
    state.value = "waiting";
    try {
      const request = await requestAgain(image.settings, files ?? {});
      state.value = await backend.wordMaps(request, stop.current.signal);
    } catch (error) {
      state.value = { problem: (error as Error).message };
    }
  };
  const now = state.value;
  if (now === "closed" || now === "waiting")
    return (
      <div class="actions">
        <button type="button" disabled={!files || now === "waiting"} onClick={() => void ask()}>
          {now === "waiting" ? "Generating it again…" : "Where did each word go?"}
        </button>
      </div>
    );
  if ("problem" in now) return <p role="alert">{now.problem}</p>;
  return <WordMapsView maps={now} src={urlOf(files?.file ?? image.thumbnail)} />;
}

/** The words, and over the image of `src` the heat of the one under the pointer or focus. */
export function WordMapsView({ maps, src }: { maps: WordMaps; src: string }) {
  const chosen = useSignal(0);
  if (maps.words.length === 0) return <p>This prompt has no words.</p>;
  const at = Math.min(chosen.value, maps.words.length - 1);
  const { word, mean } = maps.words[at]!;
  const most = Math.max(...maps.words.map((one) => one.mean));
  return (
    <section class="word-heat" aria-label="Where each word went">
      <p class="quiet">
        The model reads the prompt at every place of the image. Point at a word: light is where it was read
        most, dark where least.
      </p>
      <div class="words">
        {maps.words.map((one, i) => (
          <button
            type="button"
            aria-pressed={i === at}
            onMouseEnter={() => (chosen.value = i)}
            onFocus={() => (chosen.value = i)}
            onClick={() => (chosen.value = i)}
          >
            {one.word}
          </button>
        ))}
      </div>
      <div class="heat">
        <img src={src} alt="" />
        <Heat maps={maps} index={at} />
      </div>
      <p class="quiet" role="status">
        {`"${word}" got ${Math.round((100 * mean) / most)} % of the attention of the word that got most.`}
      </p>
    </section>
  );
}

/** One pixel for each place; the browser smooths it. */
function Heat({ maps: { rows, columns, words }, index }: { maps: WordMaps; index: number }) {
  const canvas = useRef<HTMLCanvasElement>(null);
  useEffect(() => {
    const bytes = atob(words[index]!.map);
    const pixels = new ImageData(columns, rows);
    for (let i = 0; i < bytes.length; i++)
      pixels.data.set([...heatColour(bytes.charCodeAt(i) / 255).map(Math.round), 160], 4 * i);
    canvas.current!.getContext("2d")!.putImageData(pixels, 0, 0);
  }, [words, index, rows, columns]);
  return <canvas ref={canvas} width={columns} height={rows} />;
}
