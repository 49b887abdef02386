// Who waits and who runs, by priority.

import { Rows, byId, el, setText } from "./dom.js";
import { count } from "./format.js";

export class Line {
  constructor() {
    this.rows = new Rows(byId("line"), (one) => one.priority, makeRow);
  }

  show({ cluster }) {
    byId("no-line").hidden = cluster.priorities.length > 0;
    this.rows.show(cluster.priorities);
  }
}

function makeRow({ priority }) {
  const queued = el("td", { class: "number" });
  const running = el("td", { class: "number" });
  return {
    node: el("tr", {}, el("th", { scope: "row", class: "number" }, String(priority)), queued, running),
    update(now) {
      setText(queued, count(now.queued));
      setText(running, count(now.running));
    },
  };
}
