/** @file Starts the page. */

import { render } from "preact";
import { App } from "./app.js";
import "./style/base.css";
import "./style/form.css";
import "./style/stage.css";
import "./style/gallery.css";
import "./style/grid.css";
import { titleTasks } from "./tasks.js";
import { applyTheme } from "./theme.js";

applyTheme();
titleTasks();
render(<App />, document.getElementById("page")!);
