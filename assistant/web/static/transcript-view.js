// Draws the lines of a conversation into the page.

const NAMES = { user: "You", assistant: "Viva" };

const make = (tag, className, text = "") => Object.assign(document.createElement(tag), { className, textContent: text });

/** Keeps the list in step with the captions; only lines that changed are touched. */
export class TranscriptView {
  #list;
  #empty;
  #nodes = new Map();

  constructor(list, empty) {
    this.#list = list;
    this.#empty = empty;
  }

  /** Shows a line, new or changed, at its place among `lines`. */
  show(line, lines) {
    const stuck = this.#list.scrollHeight - this.#list.scrollTop - this.#list.clientHeight < 60;
    const node = this.#nodes.get(line.id) ?? this.#insert(line, lines);
    this.#fill(node, line);
    this.#empty.hidden = true;
    if (stuck) this.#list.scrollTop = this.#list.scrollHeight;
  }

  #insert(line, lines) {
    const item = make("li", `line ${line.role}`);
    const node = { item, who: null, said: make("p", "said") };
    if (NAMES[line.role]) {
      node.who = make("p", "who", NAMES[line.role]);
      node.note = node.who.appendChild(document.createElement("small"));
      item.append(node.who);
    }
    item.append(node.said);
    const next = lines.slice(lines.indexOf(line) + 1).find((later) => this.#nodes.has(later.id));
    this.#list.insertBefore(item, next ? this.#nodes.get(next.id).item : null);
    this.#nodes.set(line.id, node);
    return node;
  }

  #fill({ item, note, said }, line) {
    const heard = line.role === "assistant" ? wholeWords(line.text, line.heardChars) : line.text;
    const coming = line.text.slice(heard.length);
    said.replaceChildren(heard, ...(coming ? [make("span", "coming", coming)] : []));
    said.classList.toggle("pending", !line.done && !line.text);
    item.hidden = line.done && !line.text && line.role !== "user";
    if (line.done && !line.text && line.role === "user") said.replaceChildren(make("span", "coming", "(spoken)"));
    if (note) note.textContent = this.#remark(line);
  }

  #remark(line) {
    if (line.interrupted) return "interrupted";
    return line.latencyMs === null ? "" : `after ${Math.round(line.latencyMs)} ms`;
  }
}

/** The beginning of a text, up to the end of the word at a place. */
function wholeWords(text, chars) {
  if (chars === 0) return "";
  const end = text.slice(chars - 1).search(/\s/);
  return end < 0 ? text : text.slice(0, chars - 1 + end);
}
