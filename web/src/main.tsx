/** @file Entry of the page that `koala serve` shows. */

import { render } from "preact";
import { App } from "./app.js";
import { hasServer } from "./chosen-backend.js";
import "./style/base.css";
import "./style/layout.css";
import "./style/fields.css";
import "./style/form.css";
import "./style/prompt.css";
import "./style/preview.css";
import "./style/progress.css";
import "./style/queue.css";
import "./style/gallery.css";
import "./style/grid.css";
import "./style/tour.css";
import "./style/messages.css";
import "./style/dialog.css";
import "./style/full-view.css";
import "./style/forced-colors.css";
import { startServiceWorker } from "./site/register.js";
import { showProgressInTitle } from "./tasks.js";
import { applyTheme } from "./theme.js";
import { countTokensOnChange } from "./token-counts.js";

applyTheme();
showProgressInTitle();
countTokensOnChange();
if (!hasServer) await startServiceWorker();
render(<App />, document.getElementById("page")!);
