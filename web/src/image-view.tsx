/** @file One finished image in the large view, with its settings, warnings and actions. */

import { fileTexts } from "../../src/image/metadata/file-texts.js";
import type { GenerationSettings } from "../../src/jobs/schemas.js";
import { isChosen, toggleChosen } from "./chosen.js";
import { copyImage, copyText } from "./clipboard.js";
import type { SavedFiles, SavedImage } from "./database.js";
import { fullViewOpen } from "./full-view.js";
import { remove, select } from "./gallery.js";
import { Icon } from "./icon.js";
import { download, fileName, urlOf } from "./images.js";
import { LongText } from "./long-text.js";
import { showMessage } from "./messages.js";
import { generateMore, moreTitle } from "./more-images.js";
import { settingRows } from "./setting-rows.js";
import { applySettings, initImage, mask, setInitImage } from "./settings.js";
import { Warnings } from "./warnings-view.js";
import { WordHeat } from "./word-heat.js";

type Props = { image: SavedImage; files: SavedFiles | undefined };

export function ImageView({ image: saved, files }: Props) {
  const { settings, width, height, thumbnail } = saved;
  const whole = files?.id === saved.id ? files : undefined;
  return (
    <figure class="image">
      <div class="shown">
        <button
          type="button"
          class="enlarge"
          aria-label="Full view"
          title="Full view"
          onClick={() => (fullViewOpen.value = true)}
        >
          <img
            class="large"
            src={urlOf(whole?.file ?? thumbnail)}
            width={width}
            height={height}
            alt={settings.prompt || "An image without a prompt"}
          />
        </button>
        <button
          type="button"
          class="icon"
          aria-label="Close the image"
          title="Close (Esc)"
          onClick={() => void select(undefined)}
        >
          <Icon name="close" />
        </button>
      </div>
      <figcaption>
        <LongText class="generated-prompt" text={settings.prompt} />
        <Warnings warnings={saved.warnings ?? []} />
        <Actions image={saved} files={whole} />
        <WordHeat key={saved.id} image={saved} files={whole} />
        <SettingsList settings={settings} />
      </figcaption>
    </figure>
  );
}

function Actions({ image, files }: Props) {
  const { id, settings } = image;
  const again = () => {
    const problem = applySettings(settings);
    initImage.value = files?.image;
    mask.value = files?.mask;
    showMessage("note", problem ?? "These settings were applied, with the same seed.");
  };
  const startFromIt = async () => {
    if (files && (await setInitImage(files.file)))
      showMessage("note", "The next generation starts from this image.");
    const fields = document.querySelector<HTMLDetailsElement>(".settings");
    if (fields) fields.open = true;
  };
  const chosen = isChosen(id);
  return (
    <>
      <div class="actions">
        <button
          type="button"
          title={moreTitle(settings, 1)}
          onClick={() => void generateMore(image, files, 1)}
        >
          <Icon name="next" /> Next seed
        </button>
        <button
          type="button"
          title={moreTitle(settings, 4)}
          onClick={() => void generateMore(image, files, 4)}
        >
          <Icon name="four" /> Four of this
        </button>
        <button type="button" onClick={again}>
          <Icon name="again" /> Use these settings
        </button>
        <button type="button" disabled={!files} onClick={() => void startFromIt()}>
          <Icon name="image" /> Start from this image
        </button>
      </div>
      <div class="actions">
        <button type="button" aria-pressed={chosen} onClick={() => toggleChosen(id)}>
          <Icon name="check" /> Choose
        </button>
        <button type="button" disabled={!files} onClick={() => files && void copyImage(files.file)}>
          <Icon name="copy" /> Copy
        </button>
        <button type="button" disabled={!files} onClick={() => files && void copySettings(files.file)}>
          <Icon name="text" /> Copy settings
        </button>
        <button
          type="button"
          disabled={!files}
          onClick={() => files && download(files.file, fileName(settings.prompt, settings.seed))}
        >
          <Icon name="download" /> Download
        </button>
        <button type="button" onClick={() => void remove([id])}>
          <Icon name="trash" /> Delete
        </button>
      </div>
    </>
  );
}

/** As AUTOMATIC1111 writes and reads them: its field of the prompt takes them whole. */
async function copySettings(file: Blob): Promise<void> {
  const texts = await fileTexts(new Uint8Array(await file.arrayBuffer()));
  const parameters = texts?.get("parameters");
  if (parameters !== undefined) await copyText(parameters, "Settings");
  else showMessage("error", "This file has no settings in it.");
}

function SettingsList({ settings }: { settings: GenerationSettings }) {
  return (
    <dl class="facts">
      {settingRows(settings).map(([name, value]) => (
        <div key={name}>
          <dt>{name}</dt>
          <dd>{value}</dd>
        </div>
      ))}
    </dl>
  );
}
