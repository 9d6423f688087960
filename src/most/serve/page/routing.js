// The routing of an answer: a column a token, a row an expert of a layer.
const CELL = 9, UNIT = 5, GAP = 6, LABEL = 34, WORDS = 74;

export class Routing {
  constructor(canvas, words) {
    this.canvas = canvas;
    this.words = words;
    this.experts = null; // {first_layer, groups: [[0 text, 1 audio, 2 both] an expert] a layer}
    this.tokens = [];
    canvas.addEventListener("mousemove", (e) => this.point(e));
  }

  reset() {
    this.tokens = [];
    this.draw();
  }

  add(tokens) {
    this.tokens.push(...tokens);
    this.draw();
  }

  width(token) {
    return token.kind === "unit" ? UNIT : CELL + 3;
  }

  draw() {
    const layers = this.experts?.groups ?? [];
    if (!layers.length) {
      this.words.textContent = "This model has no experts to show.";
      return;
    }
    const rows = layers[0].length * CELL, scale = window.devicePixelRatio || 1;
    const width = LABEL + this.tokens.reduce((sum, t) => sum + this.width(t), 0) + GAP;
    const height = layers.length * (rows + GAP) + WORDS;
    Object.assign(this.canvas, { width: Math.max(width, 200) * scale, height: height * scale });
    Object.assign(this.canvas.style, { width: `${Math.max(width, 200)}px`, height: `${height}px` });
    const paint = this.canvas.getContext("2d"), style = getComputedStyle(document.documentElement);
    const colour = (name) => style.getPropertyValue(name).trim();
    const of = [colour("--text-expert"), colour("--audio-expert"), colour("--both-expert")];
    paint.scale(scale, scale);
    paint.font = "11px system-ui, sans-serif";
    layers.forEach((groups, k) => {
      const top = k * (rows + GAP);
      paint.fillStyle = colour("--soft");
      paint.fillText(`layer ${this.experts.first_layer + k}`.replace("layer ", "L"), 2, top + rows / 2 + 4);
      let x = LABEL;
      for (const token of this.tokens) {
        paint.fillStyle = colour("--page");
        paint.fillRect(x, top, this.width(token) - 1, rows);
        for (const e of token.experts[k] ?? []) {
          paint.fillStyle = of[groups[e]];
          paint.fillRect(x, top + e * CELL, this.width(token) - 1, CELL - 1);
        }
        x += this.width(token);
      }
    });
    let x = LABEL;
    paint.fillStyle = colour("--ink");
    for (const token of this.tokens) {
      if (token.kind !== "unit") {
        paint.save();
        paint.translate(x + CELL - 1, height - WORDS + 4);
        paint.rotate(Math.PI / 2);
        paint.fillText(token.kind === "marker" ? "speech" : token.text.trim().slice(0, 10), 0, 0);
        paint.restore();
      }
      x += this.width(token);
    }
    this.tell(layers);
  }

  tell(layers) {
    const share = (kind, group) => {
      let own = 0, all = 0;
      for (const t of this.tokens.filter((t) => t.kind === kind)) {
        t.experts.forEach((chosen, k) => chosen.forEach((e) => { all += 1; own += layers[k][e] === group || layers[k][e] === 2; }));
      }
      return all ? `${Math.round((100 * own) / all)} %` : "none";
    };
    const n = (kind) => this.tokens.filter((t) => t.kind === kind).length;
    const line = this.tokens.length
      ? `${n("text")} tokens of text, ${share("text", 0)} of their picks text experts; ${n("unit")} units of speech, ` +
        `${share("unit", 1)} of their picks audio experts.`
      : "No answer yet.";
    this.words.textContent = line;
    this.canvas.setAttribute("aria-label", line);
  }

  point(event) {
    let x = LABEL;
    for (const token of this.tokens) {
      x += this.width(token);
      if (event.offsetX < x) {
        const name = token.kind === "unit" ? `unit ${token.text}` : `"${token.text}"`;
        const where = token.experts.map((e, k) => `layer ${this.experts.first_layer + k}: ${e.join(", ")}`).join("; ");
        this.canvas.title = event.offsetX < LABEL ? "" : `${name}: experts of ${where}`;
        return;
      }
    }
    this.canvas.title = "";
  }
}
