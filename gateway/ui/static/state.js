// What the server has told so far, and what became of workers since the page was opened.

const REMEMBERED = 60_000; // milliseconds that a worker which is gone is still shown

export class State {
  constructor() {
    this.cluster = {};
    this.requests = new Map(); // by number
    this.shown = [];
    this.ahead = 0; // milliseconds that the server's clock is ahead of ours
    this.gone = new Map(); // workers by id, with when
  }

  // Returns sentences about what has changed with workers.
  take(news, isFirst) {
    const { now, requests, shown, ...cluster } = news;
    const before = this.cluster.workers;
    this.ahead = now - Date.now();
    if (isFirst) this.requests.clear();
    for (const request of requests ?? []) this.requests.set(request.number, request);
    if (shown) this.shown = shown;
    for (const number of this.requests.keys()) if (!this.shown.includes(number)) this.requests.delete(number);
    this.cluster = isFirst ? cluster : { ...this.cluster, ...cluster };
    return before && cluster.workers ? this.compare(before, cluster.workers) : [];
  }

  get now() {
    return Date.now() + this.ahead;
  }

  // Newest first.
  list() {
    return this.shown.map((number) => this.requests.get(number)).filter(Boolean);
  }

  // Names of the models, as clients call them.
  models() {
    return (this.cluster.models ?? []).map((model) => model.name);
  }

  // Members, and those that were until lately.
  workers() {
    for (const [id, one] of this.gone) if (Date.now() - one.since > REMEMBERED) this.gone.delete(id);
    const gone = [...this.gone.values()].map((one) => one.worker);
    return [...(this.cluster.workers ?? []), ...gone].sort((a, b) => a.id.localeCompare(b.id, "en", { numeric: true }));
  }

  compare(before, after) {
    const said = [];
    const old = new Map(before.map((worker) => [worker.id, worker]));
    for (const worker of after) {
      const was = old.get(worker.id);
      old.delete(worker.id);
      this.gone.delete(worker.id);
      const isNew = !was || was.restarts !== worker.restarts || was.pid !== worker.pid;
      if (was && was.role !== worker.role) said.push(`${worker.id} is a ${worker.role} worker now`);
      else if (isNew) said.push(worker.restarts ? `${worker.id} is back` : `${worker.id} has joined`);
      else if (was.state !== worker.state) said.push(`${worker.id} is ${stateOf(worker)}`);
    }
    for (const worker of old.values()) {
      this.gone.set(worker.id, { worker: asGone(worker), since: Date.now() });
      said.push(`${worker.id} is gone`);
    }
    return said;
  }
}

export const stateOf = (worker) => (worker.next_role ? `draining to ${worker.next_role}` : worker.state);

function asGone(worker) {
  const numbers = ["running", "waiting", "unread_tokens", "read_per_second", "written_per_second"];
  const blocks = ["kv_usage", "free_blocks", "total_blocks", "leased_blocks", "reserved_blocks"];
  const unknown = Object.fromEntries([...numbers, ...blocks].map((name) => [name, null]));
  return { ...worker, ...unknown, state: "gone", next_role: null, reason: null };
}
