/** Dark or light: as the system says, until somebody says otherwise here. */
import type { Theme } from "./scale";
import { current, update } from "./store";

const KEY = "overlayd.theme";
const dark = matchMedia("(prefers-color-scheme: dark)");

function wanted(): Theme {
  const said = localStorage.getItem(KEY);
  return said === "dark" || said === "light" ? said : dark.matches ? "dark" : "light";
}

function apply(): void {
  document.documentElement.dataset["theme"] = wanted();
  update({ theme: wanted() });
}

export function followTheme(): void {
  dark.addEventListener("change", apply);
  apply();
}

export function switchTheme(): void {
  const other = current().theme === "dark" ? "light" : "dark";
  if ((other === "dark") === dark.matches) localStorage.removeItem(KEY);
  else localStorage.setItem(KEY, other);
  apply();
}
