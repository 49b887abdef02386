// What happened, as a list for the eyes and as a polite word for screen readers.

import { byId, el } from "./dom.js";
import { clock } from "./format.js";

const MOST = 20;

export class Announcer {
  constructor() {
    this.list = byId("events");
    this.live = byId("announcer");
  }

  happened(sentence) {
    byId("no-events").hidden = true;
    this.list.prepend(el("li", {}, el("time", {}, clock(new Date())), ` ${sentence}`));
    while (this.list.children.length > MOST) this.list.lastElementChild.remove();
    this.say(sentence);
  }

  // To those who do not see the page.
  say(sentence) {
    this.live.append(el("p", {}, sentence));
    while (this.live.children.length > 3) this.live.firstElementChild.remove();
  }
}
