/** @file Opens one more model in the tab, by its id on the Hub. */

import { signal } from "@preact/signals";
import type { Backend } from "./backend.js";
import { chooseModel, served } from "./settings.js";

/** What is done at the moment. */
const doing = signal<string | undefined>(undefined);
const problem = signal<string | undefined>(undefined);

export function AddModel({ add }: { add: NonNullable<Backend["addModel"]> }) {
  const open = async (input: HTMLInputElement) => {
    const name = input.value.trim();
    if (name === "" || doing.value !== undefined) return;
    problem.value = undefined;
    doing.value = `Opening ${name}…`;
    try {
      const { list, id } = await add(name, (text) => (doing.value = text));
      served.value = list;
      chooseModel(id);
      input.value = "";
    } catch (error) {
      problem.value = error instanceof Error ? error.message : String(error);
    }
    doing.value = undefined;
  };
  // No form of its own: it is inside that of the settings.
  const input = () => document.getElementById("added-model") as HTMLInputElement;
  return (
    <div class="field added-model">
      <label for="added-model">Another model</label>
      <div class="row">
        <input
          id="added-model"
          placeholder="owner/name"
          spellcheck={false}
          autocapitalize="off"
          aria-describedby="added-model-hint"
          aria-invalid={problem.value === undefined ? undefined : "true"}
          onKeyDown={(event) => {
            if (event.key !== "Enter" || event.ctrlKey || event.metaKey) return;
            event.preventDefault();
            void open(input());
          }}
        />
        <button type="button" disabled={doing.value !== undefined} onClick={() => void open(input())}>
          Open
        </button>
      </div>
      <p
        id="added-model-hint"
        class={problem.value === undefined ? "hint" : "hint problem"}
        role={problem.value === undefined ? "status" : "alert"}
      >
        {problem.value ??
          doing.value ??
          "KOALA, SDXL or Stable Diffusion by its id on huggingface.co. Its weights are downloaded when it generates."}
      </p>
    </div>
  );
}
