/** @file Images side by side, with what differs between their settings. */

import { signal } from "@preact/signals";
import { useEffect, useState } from "preact/hooks";
import type { SavedImage } from "./database.js";
import { Dialog } from "./dialog.js";
import { differing, rowsOf } from "./differing.js";
import { compared, filesOf, images } from "./gallery.js";
import { urlOf } from "./images.js";

export const comparing = signal(false);

export function Compare() {
  const chosen = compared.value.flatMap((id) => images.value.find((image) => image.id === id) ?? []);
  return (
    <Dialog open={comparing} title="Side by side" class="compare">
      {/* biome-ignore lint/a11y/noNoninteractiveTabindex: it scrolls, also for those without a mouse */}
      <section class="columns" tabIndex={0} aria-label="The compared images">
        {chosen.map((image) => (
          <Column
            key={image.id}
            image={image}
            differing={differing(chosen.map(({ settings }) => settings))}
          />
        ))}
      </section>
    </Dialog>
  );
}

function Column({ image, differing: different }: { image: SavedImage; differing: Set<string> }) {
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
          {[["Prompt", settings.prompt] as const, ...rowsOf(settings)].map(([name, value]) => (
            <div key={name} class={different.has(name) ? "differs" : undefined}>
              <dt>{name}</dt>
              <dd>{different.has(name) ? <mark>{value}</mark> : value}</dd>
            </div>
          ))}
        </dl>
      </figcaption>
    </figure>
  );
}
