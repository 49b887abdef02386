// The latest requests, each with its way through the cluster, and more of one when it is opened.

import { Details } from "./details.js";
import { Rows, byId, el, setAttribute, setText } from "./dom.js";
import { count, duration, known } from "./format.js";
import { arrow } from "./links.js";
import { Timeline, movedTo, spansOf, spoken } from "./timeline.js";

const COLUMNS = 7;

export class Requests {
  constructor() {
    this.rows = new Rows(byId("request-rows"), (item) => item.key, (item) => item.make());
    this.open = new Map(); // details by number
  }

  show(state) {
    const requests = state.list();
    byId("no-requests").hidden = requests.length > 0;
    const items = [];
    for (const request of requests) {
      items.push({ key: `row ${request.number}`, request, now: state.now, several: state.models().length > 1, make: () => this.makeRow(request.number) });
      const details = this.open.get(request.number);
      if (details) items.push({ key: `more ${request.number}`, request, make: () => details });
    }
    this.latest = state;
    this.rows.show(items);
  }

  makeRow(number) {
    const button = el("button", { type: "button", class: "opens", "aria-expanded": "false" });
    const phase = el("span", { class: "state" });
    const where = el("td", { class: "where" });
    const prompt = el("td", { class: "number" });
    const answer = el("td", { class: "number" });
    const time = el("td", { class: "number" });
    const drawing = new Timeline();
    const words = el("span", { class: "unseen" });
    button.addEventListener("click", () => this.toggle(number, button));
    const cells = [el("td", {}, phase), where, prompt, answer, el("td", { class: "way" }, drawing.node, words), time];
    let placed = "";
    return {
      node: el("tr", {}, el("th", { scope: "row" }, button), ...cells),
      update({ request, now: clock, several }) {
        setText(button, request.id);
        setAttribute(button, "title", several ? `${request.id}, for ${request.model}` : request.id);
        setText(phase, request.phase);
        setAttribute(phase, "data-state", request.phase);
        const now = JSON.stringify([request.placements.length, request.placements.at(-1)?.reason, movedTo(request)]);
        if (now !== placed) where.replaceChildren(...whereOf(request));
        placed = now;
        const cached = request.cached_tokens ? ` (${count(request.cached_tokens)} cached)` : "";
        setText(prompt, count(request.prompt_tokens) + cached);
        setText(answer, count(request.tokens));
        const way = spansOf(request, clock);
        drawing.show(way, request.incidents);
        setText(words, spoken(way));
        setText(time, duration(way.end));
      },
    };
  }

  toggle(number, button) {
    const opens = !this.open.has(number);
    if (opens) this.open.set(number, new Details(COLUMNS, this.latest.requests.get(number)));
    else this.open.delete(number);
    button.setAttribute("aria-expanded", String(opens));
    this.show(this.latest);
  }
}

function whereOf(request) {
  const last = request.placements.at(-1);
  if (!last) return ["–"];
  const names = [last.encode_worker, last.prefill_worker, last.decode_worker, movedTo(request)].filter(Boolean);
  const path = names.flatMap((name, index) => (index ? [arrow(), name] : [name]));
  const tries = request.placements.length;
  const again = tries > 1 ? el("span", { class: "again" }, ` try ${tries}`) : "";
  return [...path, " ", el("span", { class: "reason" }, known(last.reason, (reason) => reason.replaceAll("_", " "))), again];
}
