// The audio thread's end of playback: renders the jitter buffer and reports what happened, with its time.

import { Playout } from "./playout.js";

const REPORT_BLOCKS = 4; // one position every 21 ms: enough to draw by

class Playback extends AudioWorkletProcessor {
  #playout = new Playout();
  #blocks = 0;

  constructor() {
    super();
    this.port.onmessage = ({ data }) => this.#obey(data);
  }

  #obey(command) {
    if (command.kind === "push") this.#playout.push(command.answer, command.start, command.samples);
    else if (command.kind === "end") this.#playout.end(command.answer);
    else if (command.kind === "pause") this.#playout.paused = command.on;
    else if (command.kind === "flush") {
      const cut = this.#playout.flush();
      this.#playout.takeEvents();
      this.port.postMessage({ kind: "flushed", cut, time: currentTime });
    }
  }

  process(_inputs, [[left]]) {
    this.#playout.render(left);
    for (const event of this.#playout.takeEvents()) {
      this.port.postMessage({ ...event, time: currentTime + event.offset / sampleRate });
    }
    this.#blocks += 1;
    const position = this.#playout.position;
    if (position && this.#blocks % REPORT_BLOCKS === 0) {
      this.port.postMessage({ kind: "position", ...position, time: currentTime });
    }
    return true;
  }
}

registerProcessor("playback", Playback);
