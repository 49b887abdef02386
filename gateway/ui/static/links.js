// Which workers hand KV to which, and how fast.

import { Rows, byId, el, setText } from "./dom.js";
import { bytes, count, duration, known } from "./format.js";

export class Links {
  constructor() {
    this.rows = new Rows(byId("links"), (link) => `${link.from}\n${link.to}`, makeLink);
  }

  show({ cluster }) {
    byId("no-links").hidden = cluster.links.length > 0;
    const fastest = Math.max(1, ...cluster.links.map((link) => link.bytes_per_second));
    this.rows.show(cluster.links.map((link) => ({ ...link, share: link.bytes_per_second / fastest })));
  }
}

function makeLink(link) {
  const [by, now, moved, transfers, exposed] = ["", "number", "number", "number", "number"].map((kind) => el("td", { class: kind || null }));
  const fill = el("span", { class: "fill" });
  const rate = el("span", { class: "rate" });
  now.append(el("span", { class: "bar", "aria-hidden": "true" }, fill), rate);
  return {
    node: el("tr", {}, el("th", { scope: "row" }, link.from, arrow(), link.to), by, now, moved, transfers, exposed),
    update(latest) {
      setText(by, latest.transport || "–");
      fill.style.setProperty("inline-size", `${100 * latest.share}%`);
      setText(rate, `${bytes(latest.bytes_per_second)}/s`);
      setText(moved, bytes(latest.bytes));
      setText(transfers, count(latest.transfers));
      setText(exposed, known(latest.exposed_ms, duration));
    },
  };
}

export function arrow() {
  const spoken = el("span", { class: "unseen" }, " to ");
  return el("span", { class: "arrow" }, el("span", { "aria-hidden": "true" }, " → "), spoken);
}
