/** @file The button that changes between the system's colours, light and dark. */

import { Icon } from "./icon.js";
import { setTheme, type Theme, theme, themes } from "./theme.js";

const themeNames: Readonly<Record<Theme, string>> = { system: "as the system", light: "light", dark: "dark" };
const themeIcons = { system: "contrast", light: "sun", dark: "moon" } as const;

export function ThemeButton() {
  const now = theme.value;
  const next = themes[(themes.indexOf(now) + 1) % themes.length]!;
  const label = `Colours: ${themeNames[now]}. Change to ${themeNames[next]}.`;
  return (
    <button type="button" class="icon" aria-label={label} title={label} onClick={() => setTheme(next)}>
      <Icon name={themeIcons[now]} />
    </button>
  );
}
