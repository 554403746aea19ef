// What each side said, and how far the assistant's words have been heard. Pure.

import { msToSamples } from "./numbers.js";

/** One turn of the conversation. */
export class Line {
  constructor(id, role) {
    this.id = id;
    this.role = role; // "user", "assistant" or "note"
    this.text = "";
    this.done = false;
    this.aloud = false; // the text is spoken, so that parts of it may not have been heard yet
    this.interrupted = false;
    this.heardChars = 0;
    this.latencyMs = null;
    this.pieces = []; // {start, end, textEnd}: samples of sound and the text that they complete
  }

  /** Notes a piece of sound. `textEnd` is null where the daemon does not tell. */
  addSound(start, durationMs, textEnd) {
    this.aloud = true;
    this.pieces.push({ start, end: start + msToSamples(durationMs), textEnd });
  }

  /** Characters that a listener has heard after so many samples of this line. */
  charsAt(played) {
    let chars = 0;
    for (const piece of this.pieces) {
      if (piece.textEnd === null) continue;
      if (played >= piece.end) {
        chars = Math.max(chars, piece.textEnd);
      } else if (played > piece.start && piece.textEnd > chars) {
        chars += Math.floor(((piece.textEnd - chars) * (played - piece.start)) / (piece.end - piece.start));
        break;
      }
    }
    if (this.pieces.every((piece) => piece.textEnd === null)) return this.#charsByShare(played);
    return Math.min(chars, this.text.length);
  }

  #charsByShare(played) {
    const total = this.pieces.at(-1)?.end ?? 0;
    return total ? Math.min(this.text.length, Math.floor((this.text.length * played) / total)) : 0;
  }

  /** Moves the place up to which the line was heard. */
  heard(played) {
    this.heardChars = Math.max(this.heardChars, this.charsAt(played));
  }

  /** Everything was heard. */
  heardAll() {
    this.heardChars = this.text.length;
  }

  /** Keeps only what was heard, back to the last whole word. */
  cut(played) {
    const chars = this.aloud ? this.charsAt(played) : this.text.length;
    let kept = this.text.slice(0, chars);
    const insideWord = /\w$/.test(kept) && /^\w/.test(this.text.slice(chars));
    if (insideWord) kept = kept.replace(/\w+$/, "");
    this.text = kept.trimEnd();
    this.heardChars = this.text.length;
    this.interrupted = true;
    this.done = true;
  }
}

/** All turns in their order. */
export class Captions {
  #lines = [];
  #notes = 0;

  get lines() {
    return [...this.#lines];
  }

  get(id) {
    return this.#lines.find((line) => line.id === id) ?? null;
  }

  /** The line of an item; made where it does not exist, after `previousId` if that is known. */
  open(id, role, previousId = null) {
    const known = this.get(id);
    if (known) return known;
    const line = new Line(id, role);
    const before = this.#lines.findIndex((candidate) => candidate.id === previousId);
    if (before < 0) this.#lines.push(line);
    else this.#lines.splice(before + 1, 0, line);
    return line;
  }

  /** A remark of the page itself. */
  note(text) {
    this.#notes += 1;
    const line = this.open(`note-${this.#notes}`, "note");
    line.text = text;
    line.done = true;
    return line;
  }

  /** The conversation as plain text, for a person to keep. */
  toText() {
    const names = { user: "You", assistant: "Viva" };
    return this.#lines
      .filter((line) => line.text && names[line.role])
      .map((line) => `${names[line.role]}: ${line.text}${line.interrupted ? " …" : ""}\n`)
      .join("\n");
  }
}
