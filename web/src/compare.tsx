/** @file The dialog that compares images side by side and marks the settings in which they differ. */

import { signal } from "@preact/signals";
import { useEffect, useState } from "preact/hooks";
import { chosen } from "./chosen.js";
import type { SavedImage } from "./database.js";
import { Dialog } from "./dialog.js";
import { filesOf } from "./gallery.js";
import { urlOf } from "./images.js";
import { differingSettings, settingRows } from "./setting-rows.js";

export const comparing = signal(false);
export const mostCompared = 4;

export function Compare() {
  const shown = comparing.value ? chosen.value.slice(0, mostCompared) : [];
  return (
    <Dialog open={comparing} title="Side by side" class="compare">
      {/* biome-ignore lint/a11y/noNoninteractiveTabindex: it scrolls, and the keyboard must reach it */}
      <section class="columns" tabIndex={0} aria-label="The compared images">
        {shown.map((image) => (
          <Column
            key={image.id}
            image={image}
            differing={differingSettings(shown.map(({ settings }) => settings))}
          />
        ))}
      </section>
    </Dialog>
  );
}

function Column({ image, differing }: { image: SavedImage; differing: ReadonlySet<string> }) {
  const { id, settings, thumbnail, width, height } = image;
  const [file, setFile] = useState<Blob>(thumbnail);
  useEffect(() => {
    void filesOf(id).then((files) => files && setFile(files.file));
  }, [id]);
  return (
    <figure>
      <img src={urlOf(file)} width={width} height={height} alt={settings.prompt} />
      <figcaption>
        <dl class="facts">
          {[["Prompt", settings.prompt] as const, ...settingRows(settings)].map(([name, value]) => (
            <div key={name} class={differing.has(name) ? "differs" : undefined}>
              <dt>{name}</dt>
              <dd>{differing.has(name) ? <mark>{value}</mark> : value}</dd>
            </div>
          ))}
        </dl>
      </figcaption>
    </figure>
  );
}
