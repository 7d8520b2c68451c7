/** @file The choice of where images are generated, where there is one: by the server or in this tab. */

import { choosePlace, offersTab, type Place, place } from "./chosen-backend.js";
import { tasks } from "./tasks.js";

const names: Readonly<Record<Place, string>> = { server: "on the server", tab: "in this tab" };

export function PlaceChoice() {
  if (!offersTab.value) return null;
  return (
    <label class="place" title="The page is loaded anew. What this tab generates ends with it.">
      Generate{" "}
      <select
        value={place}
        disabled={place === "tab" && tasks.value.length > 0}
        onChange={({ currentTarget }) => choosePlace(currentTarget.value as Place)}
      >
        {Object.entries(names).map(([value, text]) => (
          <option key={value} value={value}>
            {text}
          </option>
        ))}
      </select>
    </label>
  );
}
