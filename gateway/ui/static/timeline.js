// Where a request's time went: what follows on each other above, transfers beside it below.

import { setAttribute, svg } from "./dom.js";
import { duration } from "./format.js";

const WIDTH = 1000, HEIGHT = 16; // of the drawing; the page stretches it
const TALL = 9, GAP = 2; // of the upper bar, and below it
const LEAST = 4; // so that nothing is too short to be seen

// Spans {kind, from, to} in milliseconds, in the order they began; what still goes on ends `now`.
export function spansOf(request, now) {
  const end = request.ended_ms ?? Math.max(now - request.began_at, 0);
  const spans = [];
  const add = (kind, from, to, open = end) => {
    const until = to ?? open;
    if (from !== null && until > from) spans.push({ kind, from, to: until });
  };
  request.placements.forEach((one, index) => {
    const next = request.placements[index + 1]?.queued_ms ?? end;
    add("queue", one.queued_ms, one.placed_ms);
    add("prefill", one.placed_ms, one.first_ms, next);
    if (one.transfer) add("transfer", one.transfer.start_ms, one.transfer.end_ms);
    const isLast = index === request.placements.length - 1;
    const goesOn = isLast && (request.ended_ms === null || movedTo(request));
    if (one.first_ms !== null) add("decode", one.first_ms, goesOn ? end : one.last_ms);
  });
  const last = spans.findLast((span) => span.kind !== "transfer");
  const waits = request.phase === "queued";
  if (waits) add("queue", last?.to ?? 0, null);
  return { spans, end };
}

// The worker that a running answer was handed over to last, if it was.
export const movedTo = (request) => request.incidents.findLast((one) => one.what === "moved")?.worker;

// In words, for those who do not see the drawing.
export function spoken({ spans }) {
  const words = { queue: "queued", prefill: "prefill", transfer: "transfer", decode: "decode" };
  return spans.map((span) => `${words[span.kind]} ${duration(span.to - span.from)}`).join(", ");
}

export class Timeline {
  constructor() {
    this.node = svg("svg", { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, preserveAspectRatio: "none", class: "timeline", "aria-hidden": "true" });
    this.bars = [];
  }

  show({ spans, end }, incidents) {
    const scale = WIDTH / Math.max(end, 1e-3);
    const bars = spans.map((span) => {
      const low = span.kind === "transfer";
      const x = Math.min(span.from * scale, WIDTH - LEAST);
      const width = Math.max(LEAST, (span.to - span.from) * scale);
      const [y, height] = low ? [TALL + GAP, HEIGHT - TALL - GAP] : [0, TALL];
      return { kind: span.kind, x, y, width, height };
    });
    for (const incident of incidents) {
      bars.push({ kind: "incident", x: Math.min(incident.ms * scale, WIDTH - LEAST), y: 0, width: LEAST, height: HEIGHT });
    }
    this.draw(bars);
  }

  draw(bars) {
    while (this.bars.length > bars.length) this.bars.pop().remove();
    while (this.bars.length < bars.length) {
      this.bars.push(svg("rect"));
      this.node.append(this.bars.at(-1));
    }
    bars.forEach((bar, index) => {
      const rect = this.bars[index];
      setAttribute(rect, "class", bar.kind);
      for (const name of ["x", "y", "width", "height"]) setAttribute(rect, name, bar[name].toFixed(1));
    });
  }
}
