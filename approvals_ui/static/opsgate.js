/* What the pages add to htmx. Every page works without it; nothing is decided here. */
"use strict";

/* Live pages hold one event stream each, and browsers allow six a server: a hidden tab lets go
   of its stream and takes it up again when it is looked at. The server's first event after
   connecting makes the page catch up. */
class PausingEventSource extends EventTarget {
  constructor(url) {
    super();
    this.url = url;
    this.closed = false;
    this.names = new Set();
    this.onVisibility = () => (document.hidden ? this.pause() : this.open());
    document.addEventListener("visibilitychange", this.onVisibility);
    if (!document.hidden) this.open();
  }

  get readyState() {
    return this.closed ? EventSource.CLOSED : this.source ? this.source.readyState : EventSource.CONNECTING;
  }

  open() {
    if (this.closed || (this.source && this.source.readyState !== EventSource.CLOSED)) return;
    this.source = new EventSource(this.url);
    this.source.onopen = (event) => this.onopen && this.onopen(event);
    this.source.onerror = (event) => this.onerror && this.onerror(event);
    for (const name of this.names) this.forward(name);
  }

  forward(name) {
    this.source.addEventListener(name, (event) =>
      this.dispatchEvent(new MessageEvent(name, { data: event.data })));
  }

  pause() {
    if (this.source) this.source.close();
    this.source = null;
  }

  close() {
    this.closed = true;
    this.pause();
    document.removeEventListener("visibilitychange", this.onVisibility);
  }

  addEventListener(name, listener) {
    super.addEventListener(name, listener);
    if (!this.names.has(name)) {
      this.names.add(name);
      if (this.source) this.forward(name);
    }
  }
}
htmx.createEventSource = (url) => new PausingEventSource(url);

/* What has ended does not change any more. */
document.addEventListener("htmx:beforeRequest", (event) => {
  const follows = event.detail.elt.dataset.follows;
  if (follows && document.querySelector(`${follows}[data-ended]`)) event.preventDefault();
});

/* A refreshed part keeps what the reader had opened and scrolled, and an answer that is the same
   as the last one changes nothing, so that nobody's focus or selection is lost for it. */
let kept = [];
const lastAnswer = new Map();
document.addEventListener("htmx:beforeSwap", (event) => {
  const { target, serverResponse } = event.detail;
  if (lastAnswer.get(target.id) === serverResponse) {
    event.detail.shouldSwap = false;
    return;
  }
  lastAnswer.set(target.id, serverResponse);
  kept = [...document.querySelectorAll("details[id]")].map((details) => {
    const output = details.querySelector("pre");
    const top = output ? output.scrollTop : 0;
    const atEnd = output ? output.scrollHeight - output.scrollTop - output.clientHeight < 4 : false;
    return { id: details.id, open: details.open, top, atEnd };
  });
});
document.addEventListener("htmx:afterSwap", () => {
  for (const { id, open, top, atEnd } of kept) {
    const details = document.getElementById(id);
    if (!details) continue;
    details.open = open;
    const output = details.querySelector("pre");
    if (output) output.scrollTop = atEnd ? output.scrollHeight : top;
  }
  kept = [];
  tell();
  announce();
});

/* What changed is read out once, from a place that is never replaced. */
function announce() {
  const said = document.querySelector("[data-said]");
  const announced = document.getElementById("announced");
  const words = said ? said.textContent.replace(/\s+/g, " ").trim() : "";
  if (announced.textContent !== words) announced.textContent = words;
}

/* A comment outlives a lost session or a reload of its page, in this tab only. */
function keepText(field) {
  const key = `${location.pathname}#${field.id}`;
  if (!field.value) field.value = sessionStorage.getItem(key.replace(/\/vote#/, "#")) || "";
  field.addEventListener("input", () => sessionStorage.setItem(key.replace(/\/vote#/, "#"), field.value));
}
document.addEventListener("DOMContentLoaded", () => document.querySelectorAll("[data-kept]").forEach(keepText));

/* A form that starts something is sent once. */
document.addEventListener("submit", (event) => {
  if ("once" in event.target.dataset) {
    setTimeout(() => event.target.querySelectorAll("button").forEach((button) => { button.disabled = true; }));
  }
});

/* Times in the reader's own zone, and what is left until a deadline. */
const LOCAL = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "short" });

function left(seconds) {
  if (seconds <= 0) return "deadline passed";
  const days = Math.floor(seconds / 86400);
  const hours = Math.floor((seconds % 86400) / 3600);
  const minutes = Math.floor((seconds % 3600) / 60);
  if (days) return `${days} d ${hours} h left`;
  if (hours) return `${hours} h ${minutes} min left`;
  if (minutes) return `${minutes} min left`;
  return `${Math.floor(seconds)} s left`;
}

function tell() {
  for (const time of document.querySelectorAll("time[datetime]")) {
    const at = new Date(time.dateTime);
    if ("deadline" in time.dataset) {
      const seconds = (at - Date.now()) / 1000;
      time.textContent = left(seconds);
      time.parentElement.classList.toggle("urgent", seconds < 600);
    } else if (!("told" in time.dataset)) {
      time.title = time.textContent;
      time.textContent = LOCAL.format(at);
      time.dataset.told = "";
    }
  }
}
document.addEventListener("DOMContentLoaded", tell);
setInterval(tell, 1000);
