import "uplot/dist/uPlot.min.css";
import "./style.css";
import { render } from "preact";
import { App } from "./app";
import { followTheme } from "./theme";

followTheme();
const root = document.getElementById("app");
if (root !== null) render(<App />, root);
