"use strict";
// The page is whole without this: it fetches itself again and takes over what moves.
const PERIOD = 2000;
const MOVES = ["head", "troubles", "services", "counts", "sessions"];

// Nothing may move under a pointer that is about to press, nor under a selection.
const isBusy = () => document.hidden || !getSelection().isCollapsed || document.querySelector("main button:hover, main button:focus");

async function refresh() {
  try {
    if (!isBusy()) {
      const answer = await fetch(location.href);
      if (!answer.ok) throw new Error(answer.statusText);
      const fresh = new DOMParser().parseFromString(await answer.text(), "text/html");
      if (!isBusy()) for (const id of MOVES) document.getElementById(id).replaceWith(fresh.getElementById(id));
      document.title = fresh.title;
    }
    document.getElementById("stale").hidden = true;
  } catch {
    document.getElementById("stale").hidden = false;
  }
  setTimeout(refresh, PERIOD);
}
setTimeout(refresh, PERIOD);
