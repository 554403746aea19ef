// The latency read-out: a number in the bar, and behind it where the time went.

import { median } from "./latency.js";

const KEPT_TURNS = 50;
const ms = (value) => `${Math.round(value)} ms`;

/** Shows the last measured turn and the middle of all. */
export class LatencyView {
  #chip;
  #panel;
  #totals = [];
  #last = null;
  #timing = null;

  constructor(chip, panel) {
    this.#chip = chip;
    this.#panel = panel;
    chip.addEventListener("click", () => this.#toggle(panel.hidden));
    document.addEventListener("keydown", (event) => event.key === "Escape" && this.#toggle(false));
    document.addEventListener("pointerdown", ({ target }) => {
      if (!panel.contains(target) && !chip.contains(target)) this.#toggle(false);
    });
  }

  /** A turn was measured at this page: {totalMs, decisionMs, answerMs, playbackMs, response}. */
  measured(result) {
    this.#totals = [...this.#totals, result.totalMs].slice(-KEPT_TURNS);
    this.#last = result;
    this.#show();
  }

  /** The daemon's own account of a turn. */
  timed(timing) {
    this.#timing = timing;
    if (this.#last) this.#show();
  }

  #toggle(open) {
    this.#panel.hidden = !open;
    this.#chip.setAttribute("aria-expanded", String(open));
  }

  #show() {
    const { totalMs } = this.#last;
    this.#chip.hidden = false;
    this.#chip.querySelector("#latency-value").textContent = ms(totalMs);
    this.#chip.setAttribute("aria-label", `Voice to voice ${ms(totalMs)}; show where it went`);
    const stages = this.#stages();
    const bar = this.#panel.querySelector("#latency-stages");
    bar.replaceChildren(...stages.map(([, value]) => grow(value)));
    const rows = [...stages, ["In all", totalMs], [`Middle of ${this.#totals.length}`, median(this.#totals)]];
    this.#panel.querySelector("#latency-list").replaceChildren(...rows.flatMap(([name, value]) => [cell("dt", name), cell("dd", ms(value))]));
  }

  #stages() {
    const { totalMs, decisionMs, answerMs, playbackMs, response } = this.#last;
    const own = this.#timing?.response_id === response ? this.#timing : null;
    if (!own || own.decided_ms === undefined || own.sent_ms === undefined) {
      return [["Knowing that you had finished", decisionMs], ["First sound made", answerMs], ["Playing it", playbackMs]];
    }
    return [
      ["Knowing that you had finished", own.decided_ms],
      ["First sound made", Math.max(0, own.sent_ms - own.decided_ms)],
      ["On the way and playing it", Math.max(0, totalMs - own.sent_ms)],
    ];
  }
}

const cell = (tag, text) => Object.assign(document.createElement(tag), { textContent: text });

function grow(value) {
  const part = document.createElement("i");
  part.style.flexGrow = String(Math.max(1, value));
  return part;
}
