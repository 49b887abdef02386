// A conversation with the cluster, to try it: nothing of it is kept when the page is closed.

import { byId, el, setText } from "./dom.js";
import { eventsOf, sentenceOf } from "./events.js";
import { bytes, duration, known, plural } from "./format.js";
import * as key from "./key.js";

export class Chat {
  constructor(announcer, onKey) {
    this.announcer = announcer;
    this.onKey = onKey;
    this.messages = [];
    this.answering = null;
    this.talk = byId("talk");
    byId("ask").addEventListener("submit", (event) => {
      event.preventDefault();
      if (this.answering) this.answering.abort();
      else this.ask(byId("question").value.trim());
    });
    byId("question").addEventListener("keydown", (event) => {
      if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
      event.preventDefault();
      if (!this.answering) byId("ask").requestSubmit();
    });
    byId("clear").addEventListener("click", () => this.clear());
  }

  // Models that may be asked; where there is one, it is not asked which.
  offer(names) {
    const choice = byId("model-choice");
    const chosen = choice.value;
    byId("which-model").hidden = names.length < 2;
    if (names.join("\n") === [...choice.options].map((option) => option.value).join("\n")) return;
    choice.replaceChildren(...names.map((name) => el("option", { value: name }, name)));
    if (names.includes(chosen)) choice.value = chosen;
  }

  clear() {
    this.answering?.abort();
    this.messages = [];
    this.talk.replaceChildren();
    byId("question").focus();
  }

  async ask(question) {
    if (!question) return;
    byId("question").value = "";
    this.turn("user", question);
    const messages = [...this.messages, { role: "user", content: question }];
    const answer = this.turn("assistant", "");
    const stop = (this.answering = new AbortController());
    this.busy(true);
    try {
      const content = await this.read(messages, answer, stop.signal);
      if (this.answering === stop) this.messages = [...messages, { role: "assistant", content }];
      this.announcer.say(`Answer: ${content}`);
    } catch (error) {
      const stopped = error.name === "AbortError";
      answer.append(el("p", { class: stopped ? "fate" : "error", role: stopped ? null : "alert" }, stopped ? "Stopped." : error.message));
    } finally {
      if (this.answering === stop) {
        this.answering = null;
        this.busy(false);
      }
    }
  }

  // The whole text; `answer` shows it as it comes, and where it came from.
  async read(messages, answer, signal) {
    const began = performance.now();
    const response = await this.send(messages, signal);
    const thought = el("p", { class: "thought" });
    const said = el("p", { class: "said" });
    answer.append(thought, said);
    let text = "", first = null, tail = {};
    for await (const event of eventsOf(response)) {
      if (event.error) throw new Error(event.error.message);
      tail = { ...tail, ...(event.usage ? { usage: event.usage } : {}), ...event.kv_transfer_params };
      const delta = event.choices[0]?.delta ?? {};
      if (delta.reasoning || delta.content) first ??= performance.now() - began;
      thought.append(delta.reasoning ?? "");
      said.append(delta.content ?? "");
      text += delta.content ?? "";
      this.talk.scrollTop = this.talk.scrollHeight;
    }
    answer.append(el("p", { class: "fate" }, fateOf(tail, first, performance.now() - began)));
    this.talk.scrollTop = this.talk.scrollHeight;
    return text;
  }

  async send(messages, signal) {
    const body = { model: byId("model-choice").value, messages, stream: true, stream_options: { include_usage: true }, max_tokens: byId("longest").valueAsNumber };
    const headers = { "Content-Type": "application/json", ...key.headers() };
    const url = new URL("../v1/chat/completions", document.baseURI);
    const response = await fetch(url, { method: "POST", headers, body: JSON.stringify(body), signal });
    if (response.status === 401) {
      await key.ask();
      this.onKey();
      return this.send(messages, signal);
    }
    if (!response.ok) throw new Error(await sentenceOf(response));
    return response;
  }

  turn(role, text) {
    const node = el("article", { class: `turn ${role}`, "aria-label": role === "user" ? "You" : "Answer" });
    if (text) node.append(el("p", { class: "said" }, text));
    this.talk.append(node);
    this.talk.scrollTop = this.talk.scrollHeight;
    return node;
  }

  busy(isBusy) {
    setText(byId("send"), isBusy ? "Stop" : "Send");
    this.talk.setAttribute("aria-busy", String(isBusy));
    byId("question").required = !isBusy;
  }
}

function fateOf(tail, first, whole) {
  const path = [tail.encode_worker, tail.prefill_worker, tail.decode_worker].filter(Boolean).join(" → ");
  const tokens = tail.usage?.completion_tokens;
  const facts = [path, known(first, (ms) => `first token ${duration(ms)}`), `${known(tokens, (n) => plural(n, "token"))} in ${duration(whole)}`];
  if (tail.transferred_bytes) facts.push(`${bytes(tail.transferred_bytes)} of KV by ${tail.transport}`);
  return facts.filter(Boolean).join(" · ");
}
