// The connection to the daemon: opens it, keeps it, takes it up again where it broke.

import { resume } from "./client-events.js";

const FIRST_WAIT_MS = 250;
const LAST_WAIT_MS = 8_000;
const GIVE_UP_MS = 120_000; // without a connection
const HEALTHY = 1000;
const REFUSED = 1008;
const TOO_LARGE = 1009;

/** Milliseconds before the n-th new attempt (from 0); `random` in [0, 1) keeps many pages from coming back at once. */
export function waitBefore(attempt, random) {
  const longest = Math.min(LAST_WAIT_MS, FIRST_WAIT_MS * 2 ** attempt);
  return Math.round(longest * (0.75 + 0.25 * random));
}

/**
 * One lasting connection over many sockets.
 *
 * `on` gets `event(object)`, `status("connecting" | "open" | "reconnecting" | "closed", detail)` and `renewed()`
 * when a new session had to begin after a loss. `world` gives `socket(query, token)`, `setTimer`, `clearTimer`, `now`,
 * `random` and `refusal(token)`, which resolves to the HTTP status that the daemon refuses with, or null.
 */
export class Link {
  #on;
  #world;
  #token = null;
  #socket = null;
  #timer = null;
  #status = "closed";
  #resume = null; // {token, windowMs}
  #served = false; // this link has had a session
  #seq = 0;
  #lostAt = null;
  #attempt = 0;

  constructor(on, world) {
    this.#on = on;
    this.#world = world;
  }

  get status() {
    return this.#status;
  }

  /** Opens a new session. */
  open(token) {
    this.#token = token;
    this.#resume = null;
    this.#served = false;
    this.#lostAt = null;
    this.#attempt = 0;
    this.#setStatus("connecting");
    this.#dial();
  }

  /** Sends an event; false when there is no connection to send it on. */
  send(event) {
    if (this.#status !== "open") return false;
    this.#socket.send(JSON.stringify(event));
    return true;
  }

  /** The machine went off the network or came back: sockets notice only after minutes. */
  network(online) {
    if (!online && this.#socket) {
      const socket = this.#socket;
      this.#lost({ code: 1006, reason: "" }, true);
      socket.close();
    } else if (online && this.#status === "reconnecting" && !this.#socket) {
      this.#world.clearTimer(this.#timer);
      this.#dial();
    }
  }

  /** Bytes that wait to be sent. */
  get backlog() {
    return this.#socket?.bufferedAmount ?? 0;
  }

  /** Ends the session. */
  close() {
    this.#world.clearTimer(this.#timer);
    const socket = this.#socket;
    this.#socket = null;
    this.#resume = null;
    socket?.close(HEALTHY);
    this.#setStatus("closed");
  }

  #dial() {
    const resuming = this.#mayResume();
    const socket = this.#world.socket(resuming ? "vivavoce=resume" : "vivavoce=1", this.#token);
    let opened = false;
    this.#socket = socket;
    socket.onopen = () => {
      opened = true;
      if (resuming) socket.send(JSON.stringify(resume(this.#resume.token, this.#seq)));
    };
    socket.onmessage = (message) => {
      if (socket === this.#socket) this.#receive(JSON.parse(message.data));
    };
    socket.onclose = (close) => {
      if (socket === this.#socket) this.#lost(close, opened);
    };
  }

  #mayResume() {
    return this.#resume !== null && this.#lostAt !== null && this.#world.now() - this.#lostAt < this.#resume.windowMs;
  }

  #receive(event) {
    if (event.server_event_seq !== undefined) this.#seq = event.server_event_seq;
    if (event.type === "session.created") {
      const { resume_token: token, resume_window_s: windowS } = event.session?.vivavoce ?? event.vivavoce ?? {};
      this.#resume = token ? { token, windowMs: windowS * 1000 } : null;
      const renewed = this.#served;
      this.#served = true;
      this.#up();
      if (renewed) this.#on.renewed();
    } else if (event.type === "vivavoce.session.resumed") {
      this.#resume = { ...this.#resume, token: event.resume_token };
      this.#up();
    } else if (event.type === "error" && event.error.code === "resume_failed") {
      this.#resume = null; // the socket is about to close; the next attempt begins a new session
      return;
    }
    this.#on.event(event);
  }

  #up() {
    this.#lostAt = null;
    this.#attempt = 0;
    this.#setStatus("open");
  }

  async #lost(close, opened) {
    this.#socket = null;
    const ended = close.code === HEALTHY || close.code === TOO_LARGE || (close.code === REFUSED && this.#status === "open");
    if (ended) {
      this.#setStatus("closed", { reason: close.reason || "The daemon ended the session." });
      return;
    }
    if (!opened) {
      const status = await this.#world.refusal(this.#token);
      if (this.#status === "closed") return;
      if (status === 401 || status === 403) {
        this.#setStatus("closed", { status });
        return;
      }
    }
    this.#again(close.code === 1013);
  }

  #again(full) {
    this.#lostAt ??= this.#world.now();
    const first = this.#status === "connecting";
    if (first && (full || this.#attempt >= 3)) {
      const reason = full ? "Every session of the daemon is taken. Try again in a moment." : "The daemon does not answer.";
      this.#setStatus("closed", { reason });
      return;
    }
    if (this.#world.now() - this.#lostAt > GIVE_UP_MS) {
      this.#setStatus("closed", { reason: "The connection was lost." });
      return;
    }
    if (!first) this.#setStatus("reconnecting");
    const wait = waitBefore(this.#attempt, this.#world.random());
    this.#attempt += 1;
    this.#timer = this.#world.setTimer(() => this.#dial(), wait);
  }

  #setStatus(status, detail = {}) {
    if (status === this.#status && !Object.keys(detail).length) return;
    this.#status = status;
    this.#on.status(status, detail);
  }
}

/** The browser's own world. */
export const browserWorld = {
  socket(query, token) {
    const url = new URL("v1/realtime", location.href);
    url.protocol = location.protocol === "https:" ? "wss:" : "ws:";
    url.search = query;
    return new WebSocket(url, token ? ["realtime", `openai-insecure-api-key.${token}`] : ["realtime"]);
  },
  async refusal(token) {
    try {
      const headers = token ? { Authorization: `Bearer ${token}` } : {};
      return (await fetch("v1/realtime", { headers, cache: "no-store" })).status;
    } catch {
      return null; // nobody listens there at the moment
    }
  },
  setTimer: (callback, ms) => setTimeout(callback, ms),
  clearTimer: (timer) => clearTimeout(timer),
  now: () => performance.now(),
  random: () => Math.random(),
};
