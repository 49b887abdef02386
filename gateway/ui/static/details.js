// One request, opened: each of its placements, what broke, and what else was possible.

import { el } from "./dom.js";
import { sentenceOf } from "./events.js";
import { bytes, count, duration, known } from "./format.js";
import * as key from "./key.js";
import { arrow } from "./links.js";

const WHY = {
  least_cost: "least predicted time",
  prefix: "least predicted time, with part of the prompt cached there",
  local: "the decode worker reads the prompt itself: a hand-off would cost more than it saves",
  no_prefill: "no prefill worker lives",
  wished: "the request left no other",
  objective_missed: "nothing was predicted to meet the request's objectives",
  last_resort: "others broke under this request before",
  prefix_aware: "policy: where the prompt's beginning is cached",
};
const BROKE = { unavailable: "was lost", transfer: "did not get the KV cache", refused: "refused" };
const WENT = { moved: "moved to", continued: "went on at" };

export class Details {
  constructor(columns, request) {
    this.candidates = el("div");
    this.facts = el("div", { class: "facts" });
    this.node = el("tr", { class: "more" }, el("td", { colspan: String(columns) }, this.facts, this.candidates));
    this.told = "";
    this.asked = 0;
    this.id = request.id;
  }

  update({ request }) {
    const told = JSON.stringify([request.placements, request.incidents, request.error, request.phase]);
    if (told === this.told) return;
    this.told = told;
    this.facts.replaceChildren(...request.placements.map(placementOf), ...listOf(request));
    if (request.placements.length === this.asked && request.ended_ms === null) return;
    this.asked = request.placements.length;
    this.explain().catch(() => {});
  }

  // What the placement was compared with, as GET /v1/requests/ID/placement tells it.
  async explain() {
    const url = new URL(`../v1/requests/${encodeURIComponent(this.id)}/placement`, document.baseURI);
    const response = await fetch(url, { headers: key.headers() });
    if (!response.ok) {
      this.candidates.replaceChildren(el("p", { class: "hint" }, await sentenceOf(response)));
      return;
    }
    const attempts = (await response.json()).attempts;
    this.candidates.replaceChildren(...attempts.slice(-1).map(candidatesOf));
  }
}

function placementOf(placed, index) {
  const facts = [
    ["Placement", `${index + 1}`],
    ...(placed.encode_worker ? [["Encode", placed.encode_worker]] : []),
    ["Prefill", placed.prefill_worker ?? "none: decode read the prompt"],
    ["Decode", known(placed.decode_worker, String)],
    ["Why", WHY[placed.reason] ?? known(placed.reason, (reason) => `policy: ${reason}`)],
    ["Queued", duration(placed.placed_ms - placed.queued_ms)],
    ["Prefill begun", known(placed.admitted_ms, (ms) => `after ${duration(Math.max(0, Math.min(ms, placed.first_ms ?? ms) - placed.placed_ms))}`)],
    ["First token", expected(placed.first_ms === null ? null : placed.first_ms - placed.placed_ms, placed.predicted_ttft_ms)],
    ["Per token", expected(placed.itl_ms, placed.predicted_itl_ms)],
  ];
  if (placed.prefix_from) facts.push(["Beginning from", placed.prefix_from]);
  if (placed.transfer) facts.push(["Transfer", transferOf(placed.transfer)]);
  return el("dl", { class: "placement" }, ...facts.map(([name, value]) => el("div", {}, el("dt", {}, name), el("dd", {}, value))));
}

function transferOf(moved) {
  const time = duration(moved.end_ms - moved.start_ms);
  return `${bytes(moved.bytes)} by ${moved.transport} in ${time}, ${duration(moved.exposed_ms)} of it behind prefill`;
}

const expected = (measured, predicted) =>
  `${known(measured, duration)}${predicted === null ? "" : ` (${duration(predicted)} predicted)`}`;

function listOf(request) {
  const said = request.incidents.map((one) => {
    const went = WENT[one.what];
    const sentence = went ? `${went} ${one.worker}` : `${one.worker} ${BROKE[one.what] ?? one.what}`;
    return `${duration(one.ms)}: ${sentence}`;
  });
  if (request.finish_reasons.length) said.push(`ended: ${request.finish_reasons.join(", ")}`);
  if (request.error) said.push(request.error);
  return said.length ? [el("ul", { class: "incidents" }, ...said.map((sentence) => el("li", {}, sentence)))] : [];
}

function candidatesOf(attempt) {
  const heads = ["Considered", "Cached", "Wait", "Read", "Exposed", "Per token", "First token", "In all"];
  const rows = attempt.candidates.map((one, index) => {
    const names = [one.prefill_worker, one.decode_worker].filter(Boolean);
    const path = names.flatMap((name, at) => (at ? [arrow(), name] : [name]));
    const times = [one.terms.wait_ms, one.terms.read_ms, one.terms.exposed_ms, one.terms.itl_ms, one.ttft_ms, one.total_ms];
    const cells = [count(one.cached_tokens), ...times.map(duration)].map((text) => el("td", { class: "number" }, text));
    return el("tr", { class: index ? null : "chosen" }, el("th", { scope: "row" }, ...path), ...cells);
  });
  const head = el("tr", {}, ...heads.map((title, index) => el("th", { scope: "col", class: index ? "number" : null }, title)));
  const caption = `The best of ${count(attempt.considered)} that were possible, the chosen one first; times are predictions`;
  return el("table", { class: "candidates" }, el("caption", {}, caption), el("thead", {}, head), el("tbody", {}, ...rows));
}
