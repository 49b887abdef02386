// Workers in their pools, one table each.

import { Rows, byId, el, setAttribute, setText } from "./dom.js";
import { count, known, percent, plural } from "./format.js";
import { stateOf } from "./state.js";

const COLUMNS = ["Worker", "State", "Running", "Waiting", "KV use", "Read", "Written", "Lent", "Restarts", "Address"];
const TEXTS = new Set(["Worker", "State", "KV use", "Address"]);
const TITLES = { Read: "Prompt tokens per second", Written: "Answer tokens per second", Lent: "Blocks lent to hand-offs" };

export class Pools {
  constructor() {
    this.rows = new Rows(byId("pools"), (pool) => pool.key, makePool);
  }

  show(state) {
    const workers = state.workers();
    const roles = [...new Set(["encode", "prefill", "decode", ...workers.map((worker) => worker.role)])];
    const names = state.models();
    const models = names.length > 1 ? [...names, null] : [undefined]; // null: what is of none of them
    const pools = models.flatMap((model, place) =>
      roles.map((role) => {
        const own = workers.filter((worker) => worker.role === role && (model === undefined || worker.served_model === model));
        return { key: `${place}-${role}`, role, model, workers: own };
      }),
    );
    this.rows.show(pools.filter((pool) => pool.workers.length));
  }
}

function makePool({ key, role, model }) {
  const id = `pool-${key}`;
  const whose = model === undefined ? "" : ` of ${model ?? "no model"}`;
  const body = el("tbody");
  const many = el("span", { class: "many" });
  const heads = COLUMNS.map((title) => {
    const name = TITLES[title] ? el("abbr", { title: TITLES[title] }, title) : title;
    return el("th", { scope: "col", class: TEXTS.has(title) ? null : "number" }, name);
  });
  const table = el("table", {}, el("caption", { class: "unseen" }, `Workers of the ${role} pool${whose}`), el("thead", {}, el("tr", {}, ...heads)), body);
  const scroll = el("div", { class: "scroll", role: "region", "aria-labelledby": id, tabindex: "0" }, table);
  const rows = new Rows(body, (worker) => worker.id, makeWorker);
  return {
    node: el("div", { class: "pool", "data-role": role }, el("h3", { id }, `${role[0].toUpperCase()}${role.slice(1)}${whose} `, many), scroll),
    update({ workers }) {
      setText(many, plural(workers.filter((worker) => worker.state !== "gone").length, "worker"));
      rows.show(workers);
    },
  };
}

function makeWorker(worker) {
  const cells = new Map(COLUMNS.slice(1).map((title) => [title, el("td", { class: TEXTS.has(title) ? null : "number" })]));
  const name = el("th", { scope: "row" }, worker.id);
  const state = el("span", { class: "state" });
  const fill = el("span", { class: "fill" });
  const share = el("span", { class: "share" });
  cells.get("State").append(state);
  cells.get("KV use").append(el("span", { class: "bar", "aria-hidden": "true" }, fill), share);
  cells.get("Address").classList.add("address");
  const write = (title, text) => setText(cells.get(title), text);
  return {
    node: el("tr", {}, name, ...cells.values()),
    update(now) {
      setText(state, stateOf(now));
      setAttribute(state, "data-state", now.state);
      setAttribute(name, "title", titleOf(now));
      write("Running", known(now.running, count));
      write("Waiting", known(now.waiting, count));
      setText(share, known(now.kv_usage, percent));
      fill.style.setProperty("inline-size", `${100 * (now.kv_usage ?? 0)}%`);
      setAttribute(share, "title", known(now.free_blocks, (free) => `${count(free)} of ${count(now.total_blocks)} blocks free`));
      write("Read", known(now.read_per_second, count));
      write("Written", known(now.written_per_second, count));
      write("Lent", known(now.leased_blocks, count));
      write("Restarts", known(now.restarts, count));
      write("Address", now.address);
    },
  };
}

function titleOf(worker) {
  const labels = Object.entries(worker.labels).map(([name, value]) => `${name}=${value}`);
  const facts = [`pid ${worker.pid}`, plural(worker.flips, "change") + " of role", ...labels, ...(worker.reason ? [worker.reason] : [])];
  return facts.join("; ");
}
