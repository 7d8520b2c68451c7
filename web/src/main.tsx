/** @file Starts the page. */

import { render } from "preact";
import { App } from "./app.js";
import "./style/base.css";
import "./style/form.css";
import "./style/prompt.css";
import "./style/stage.css";
import "./style/gallery.css";
import "./style/grid.css";
import "./style/forced-colors.css";
import { titleTasks } from "./tasks.js";
import { applyTheme } from "./theme.js";
import { watchTokens } from "./token-counts.js";

applyTheme();
titleTasks();
watchTokens();
render(<App />, document.getElementById("page")!);
