// The cluster in a few numbers.

import { byId, el, setText } from "./dom.js";
import { bytes, count, known, percent } from "./format.js";

const TILES = ["Workers ready", "Running", "Queued", "Sent away", "KV in use", "Read", "Written", "Moved"];

export class Summary {
  constructor() {
    this.values = new Map();
    for (const title of TILES) {
      const value = el("dd");
      this.values.set(title, value);
      byId("summary").append(el("div", {}, el("dt", {}, title), value));
    }
  }

  show({ cluster }) {
    const { workers, links, priorities } = cluster;
    const ready = workers.filter((worker) => worker.state === "ready").length;
    const total = sum(workers, "total_blocks");
    const used = total ? 1 - sum(workers, "free_blocks") / total : null;
    this.set("Workers ready", `${ready} of ${workers.length}`);
    this.set("Running", count(sum(priorities, "running")));
    this.set("Queued", count(sum(priorities, "queued")));
    this.set("Sent away", count(cluster.refused));
    this.set("KV in use", known(used, percent));
    this.set("Read", `${count(sum(workers, "read_per_second"))} tok/s`);
    this.set("Written", `${count(sum(workers, "written_per_second"))} tok/s`);
    this.set("Moved", `${bytes(sum(links, "bytes_per_second"))}/s`);
  }

  set(title, text) {
    setText(this.values.get(title), text);
  }
}

const sum = (items, name) => items.reduce((total, item) => total + (item[name] ?? 0), 0);
