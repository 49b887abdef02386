// The status page from its first moment: the parts, and what makes them live.

import { Announcer } from "./announcer.js";
import { Chat } from "./chat.js";
import { byId, setText } from "./dom.js";
import { plural } from "./format.js";
import { Feed } from "./feed.js";
import * as key from "./key.js";
import { Line } from "./line.js";
import { Links } from "./links.js";
import { Requests } from "./requests.js";
import { State } from "./state.js";
import { Summary } from "./summary.js";
import { Pools } from "./workers.js";

const WORDS = { live: "live", lost: "trying to connect again", locked: "wants an API key" };
const TICK = 500; // milliseconds between two looks at the clock

const state = new State();
const announcer = new Announcer();
const parts = [new Summary(), new Pools(), new Links(), new Line(), new Requests()];
const feed = new Feed(onNews, onConnection);
const chat = new Chat(announcer, () => feed.restart());

function onNews(news, isFirst) {
  for (const sentence of state.take(news, isFirst)) announcer.happened(sentence);
  const models = state.models();
  const shown = models.length > 1 ? plural(models.length, "model") : state.cluster.model;
  chat.offer(models);
  setText(byId("model"), `${shown} · ${state.cluster.version}`);
  document.title = `${shown} · Baton`;
  complain(troubles(state.cluster));
  show();
}

function onConnection(how, why = "") {
  const node = byId("connection");
  if (node.dataset.state === "live" && how === "lost") announcer.happened("This page has lost the gateway");
  if (node.dataset.state === "lost" && how === "live") announcer.happened("This page has the gateway again");
  node.dataset.state = how;
  setText(byId("connection-text"), WORDS[how]);
  byId("forget-key").hidden = !key.hasKey();
  if (how === "lost") complain(`${why} What you see is how it was.`);
}

function troubles(cluster) {
  const away = cluster.models.filter((model) => !model.takes_requests).map((model) => `No worker of ${model.name} takes requests.`);
  const said = cluster.takes_requests ? away : ["No worker takes requests."];
  return [...said, ...(cluster.trouble ? [cluster.trouble] : [])].join(" ");
}

function complain(sentence) {
  setText(byId("trouble"), sentence);
  byId("trouble").hidden = !sentence;
}

function show() {
  for (const part of parts) part.show(state);
}

byId("forget-key").addEventListener("click", () => {
  key.forget();
  feed.restart();
});
setInterval(() => !document.hidden && state.cluster.workers && show(), TICK);
feed.start();
