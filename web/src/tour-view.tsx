/** @file The tour: how a prompt becomes an image, shown by two runs of the chosen model. */

import { place } from "./chosen-backend.js";
import { Problem } from "./fields.js";
import { model } from "./settings.js";
import { runTour, stopTour, type TourResult, tour, tourPrompt, tourSeed, typeTourPrompt } from "./tour.js";
import { Section } from "./tour-section.js";
import { TourGuidance, TourSteps } from "./tour-steps.js";
import { WordMapsView } from "./word-heat.js";

export function TourView() {
  const now = tour.value;
  return (
    <article class="tour" aria-labelledby="tour-title">
      <h2 id="tour-title">How a prompt becomes an image</h2>
      <p>
        This tour generates two images with <strong>{model.value?.name}</strong>{" "}
        {place === "tab" ? "in this tab" : "on your server"} and looks inside. Every number and image below is
        of these two runs.
      </p>
      <TourForm />
      {now.state === "failed" && <Problem>{now.message}</Problem>}
      {now.state === "ready" && <Sections result={now.result} />}
    </article>
  );
}

function TourForm() {
  const now = tour.value;
  const onSubmit = (event: Event) => {
    event.preventDefault();
    void runTour();
  };
  return (
    <form class="tour-form" aria-label="The tour's prompt" onSubmit={onSubmit}>
      <div class="field">
        <label for="tour-prompt">Prompt</label>
        <input
          id="tour-prompt"
          required
          value={tourPrompt.value}
          onInput={({ currentTarget }) => typeTourPrompt(currentTarget.value)}
        />
      </div>
      <div class="field">
        <label for="tour-seed">Seed</label>
        <input
          id="tour-seed"
          required
          inputMode="numeric"
          pattern="[0-9]{1,19}"
          value={tourSeed.value}
          onInput={({ currentTarget }) => (tourSeed.value = currentTarget.value)}
        />
      </div>
      {now.state === "running" ? (
        <button type="button" onClick={stopTour}>
          Stop
        </button>
      ) : (
        <button type="submit" class="primary">
          {now.state === "ready" ? "Run it again" : "Start the tour"}
        </button>
      )}
      <p class="quiet" role="status">
        {now.state === "running" &&
          (now.step > 0 ? `Step ${now.step} of ${now.total}, of both images` : "Waiting for the model…")}
      </p>
    </form>
  );
}

function Sections({ result }: { result: TourResult }) {
  const { first, guidanceScale } = result;
  return (
    <>
      <Tokens result={result} />
      <Seeds result={result} />
      <TourSteps predictions={first.steps} />
      <TourGuidance predictions={first.steps} scale={guidanceScale} />
      <Section number={5} title="Attention: where each word is read">
        <p>
          At every place of the image and in every step, the network decides which words of the prompt to read
          there. These are the averages over all steps of the image from seed {first.seed}.
        </p>
        <WordMapsView maps={first.wordMaps} src={first.url} />
      </Section>
    </>
  );
}

function Tokens({ result: { first, count } }: { result: TourResult }) {
  return (
    <Section number={1} title="Tokens: what the model reads">
      <p>
        {`The model does not read letters. A tokenizer cuts the prompt into pieces that it knows, the tokens. With a mark
        of the start and one of the end this prompt has ${count.tokens}; its text encoder reads ${count.limit} at once.`}
      </p>
      <ul class="tour-tokens">
        {first.wordMaps.words.map(({ word, tokens }) => (
          <li>
            <strong>{word}</strong>
            {tokens.map((token) => (
              <code>{token}</code>
            ))}
          </li>
        ))}
      </ul>
      <p class="quiet">
        Each box has a word of the prompt and below it its tokens, as the vocabulary spells them: {"</w>"}{" "}
        ends a word, and a rare word takes several.
      </p>
      {count.cut !== undefined && <p>{`Not read at once: "${count.cut}".`}</p>}
    </Section>
  );
}

function Seeds({ result: { first, second } }: { result: TourResult }) {
  return (
    <Section number={2} title="A seed: which noise it begins with">
      <p>
        {`Generating begins with random numbers, ${first.steps.noise.values.toLocaleString("en")} of them here. A seed
        fixes which: the same seed gives the same numbers and so the same image. The prompt and all settings below are
        the same; only the seed differs.`}
      </p>
      <div class="tour-images pairs">
        {[first, second].map(({ seed, url, steps: { noise } }) => (
          <>
            <figure>
              <img src={noise.image} alt={`Noise of seed ${seed}`} />
              <figcaption>
                {`The noise of seed ${seed}, seen through the decoder. Its numbers have a mean of ${noise.mean.toFixed(3)}
                and a standard deviation of ${noise.deviation.toFixed(3)}.`}
              </figcaption>
            </figure>
            <figure>
              <img src={url} alt={`Generated from seed ${seed}`} />
              <figcaption>{`What the model makes of the noise of seed ${seed}.`}</figcaption>
            </figure>
          </>
        ))}
      </div>
    </Section>
  );
}
