// Keeps the state live while the page is looked at: a hidden tab asks for nothing.

import { eventsOf, sentenceOf } from "./events.js";
import * as key from "./key.js";

const FIRST_PAUSE = 500, LONGEST_PAUSE = 8000; // milliseconds between two tries

export class Feed {
  // `onNews(news, isFirst)` gets what the server says; `onConnection(state, why)` how it stands.
  constructor(onNews, onConnection) {
    this.onNews = onNews;
    this.onConnection = onConnection;
    this.pause = FIRST_PAUSE;
    this.stream = null;
    this.timer = null;
    document.addEventListener("visibilitychange", () => (document.hidden ? this.stop() : this.start()));
    window.addEventListener("online", () => this.start());
  }

  start() {
    if (this.stream || document.hidden) return;
    clearTimeout(this.timer);
    this.stream = new AbortController();
    this.follow(this.stream);
  }

  stop() {
    clearTimeout(this.timer);
    this.stream?.abort();
    this.stream = null;
  }

  restart() {
    this.stop();
    this.start();
  }

  async follow(stream) {
    let why = "The connection was lost.";
    try {
      const url = new URL("events", document.baseURI);
      const response = await fetch(url, { headers: key.headers(), signal: stream.signal, cache: "no-store" });
      if (response.status === 401) {
        this.onConnection("locked");
        await key.ask();
        this.pause = 0;
      } else if (!response.ok) {
        why = await sentenceOf(response);
      } else {
        await this.read(response);
      }
    } catch {
      // It is said below, and tried again.
    }
    if (this.stream !== stream) return; // stopped, or begun anew
    this.stream = null;
    if (this.pause) this.onConnection("lost", why);
    this.timer = setTimeout(() => this.start(), this.pause);
    this.pause = Math.min(LONGEST_PAUSE, Math.max(FIRST_PAUSE, 2 * this.pause));
  }

  async read(response) {
    let first = true;
    for await (const news of eventsOf(response)) {
      if (first) this.onConnection("live");
      this.pause = FIRST_PAUSE;
      try {
        this.onNews(news, first);
      } catch (error) {
        reportError(error); // a defect of the page is no lost connection
      }
      first = false;
    }
  }
}
