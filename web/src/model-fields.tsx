/** @file The choice of the model, and its defaults. */

import { AboutModel } from "./about-model.js";
import { AddModel } from "./add-model.js";
import { backend, hasServer } from "./chosen-backend.js";
import { SelectField } from "./fields.js";
import { chooseModel, model, resetToDefaults, served } from "./settings.js";

export function ModelFields({ wrong }: { wrong: (field: string) => boolean }) {
  const now = model.value;
  return (
    <div class="wide model">
      <SelectField
        id="model"
        label="Model"
        value={now?.id ?? ""}
        options={(served.value?.models ?? []).map(({ id, name }) => [id, name] as const)}
        onChange={chooseModel}
        invalid={wrong("model")}
      />
      <button
        type="button"
        class="quiet-button"
        title={`Reset the settings to the defaults of ${now?.advisedBy ?? "the model"}`}
        onClick={() => now && resetToDefaults(now)}
      >
        Defaults
      </button>
      <div class="hint">
        <AboutModel />
        {/* The policy of koala serve's page allows no connection to the Hub. */}
        {!hasServer && backend.ownModels && <AddModel models={backend.ownModels} />}
      </div>
    </div>
  );
}
