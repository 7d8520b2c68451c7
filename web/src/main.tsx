/** @file Starts the page. */

import { render } from "preact";
import { App } from "./app.js";
import "./style/base.css";
import "./style/form.css";
import "./style/stage.css";
import "./style/gallery.css";
import "./style/grid.css";
import { applyTheme } from "./theme.js";

applyTheme();
render(<App />, document.getElementById("page")!);
