// Copyright 2026 The dpsims_hf authors. Licensed under the Apache License, Version 2.0.
// The label map: ids in a Uint16Array, exact drawing without soft edges, undo and redo. Knows nothing about the page.

const MAX_STEPS = 200;
const MAX_STORED = 1.6e7; // numbers in the undo history, 64 MB

function encodeRuns(labels) {
  const runs = [];
  for (let start = 0, end = 0; start < labels.length; start = end) {
    while (end < labels.length && labels[end] === labels[start]) end++;
    runs.push(labels[start], end - start);
  }
  return runs;
}

function decodeRuns(runs, size) {
  const labels = new Uint16Array(size);
  for (let i = 0, at = 0; i < runs.length; i += 2) labels.fill(runs[i], at, (at += Number(runs[i + 1])));
  return labels;
}

// Rows [dy, x0, x1] of a disc: pixels whose middle is within the radius. Odd diameters lie around the pixel (0, 0), even
// ones around its upper left corner.
function discRows(diameter) {
  const shift = diameter % 2 ? 0 : 0.5;
  const rows = [];
  for (let dy = -Math.floor(diameter / 2); dy < (diameter + 1) / 2; dy++) {
    const half = Math.sqrt(diameter ** 2 / 4 - (dy + shift) ** 2);
    if (half >= shift) rows.push([dy, Math.ceil(-half - shift), Math.floor(half - shift)]);
  }
  return rows;
}

// A table of old label -> new label, for the labels of a run-length encoding.
function translateRuns(runs, table) {
  for (let i = 0; i < runs.length; i += 2) runs[i] = table[runs[i]];
}

function visitLine(from, to, visit) {
  const steps = Math.max(Math.abs(to.x - from.x), Math.abs(to.y - from.y));
  for (let i = 0; i <= steps; i++) {
    const t = steps ? i / steps : 0;
    visit(Math.round(from.x + t * (to.x - from.x)), Math.round(from.y + t * (to.y - from.y)));
  }
}

class LabelMap {
  constructor(width, height, labels) {
    Object.assign(this, { width, height, labels, undoSteps: [], redoSteps: [], before: null });
    this.dirty = this.emptyBox(); // what changed since the last look
    this.changed = this.emptyBox(); // what changed since `begin`
  }

  emptyBox() {
    return { x0: Infinity, y0: Infinity, x1: -1, y1: -1 };
  }

  at(x, y) {
    return this.labels[y * this.width + x];
  }

  touch(x0, y0, x1, y1) {
    for (const box of [this.dirty, this.changed]) {
      box.x0 = Math.min(box.x0, x0);
      box.y0 = Math.min(box.y0, y0);
      box.x1 = Math.max(box.x1, x1);
      box.y1 = Math.max(box.y1, y1);
    }
  }

  takeDirty() {
    const box = this.dirty;
    this.dirty = this.emptyBox();
    return box.x1 < 0 ? null : box;
  }

  span(y, x0, x1, label) {
    x0 = Math.max(x0, 0);
    x1 = Math.min(x1, this.width - 1);
    if (y < 0 || y >= this.height || x0 > x1) return;
    this.labels.fill(label, y * this.width + x0, y * this.width + x1 + 1);
    this.touch(x0, y, x1, y);
  }

  // ---- drawing; to be called between begin() and commit()

  stroke(from, to, diameter, label) {
    const rows = discRows(diameter);
    visitLine(from, to, (x, y) => rows.forEach(([dy, x0, x1]) => this.span(y + dy, x + x0, x + x1, label)));
  }

  rectangle(a, b, label) {
    for (let y = Math.min(a.y, b.y); y <= Math.max(a.y, b.y); y++) {
      this.span(y, Math.min(a.x, b.x), Math.max(a.x, b.x), label);
    }
  }

  // Even-odd interior by the pixels' middles, plus every pixel on the outline.
  polygon(points, label) {
    const edges = points.map((point, i) => [point, points[(i + 1) % points.length]]);
    for (let y = 0; y < this.height; y++) {
      const crossings = edges
        .filter(([a, b]) => a.y <= y !== b.y <= y)
        .map(([a, b]) => a.x + ((y - a.y) * (b.x - a.x)) / (b.y - a.y))
        .sort((left, right) => left - right);
      for (let i = 0; i + 1 < crossings.length; i += 2) {
        this.span(y, Math.ceil(crossings[i]), Math.floor(crossings[i + 1]), label);
      }
    }
    for (const [a, b] of edges) visitLine(a, b, (x, y) => this.span(y, x, x, label));
  }

  // The 4-connected region of equal labels around (x, y).
  fill(x, y, label) {
    const { width, height, labels } = this;
    const old = this.at(x, y);
    if (old === label) return;
    const stack = [y * width + x];
    while (stack.length) {
      const start = stack.pop();
      if (labels[start] !== old) continue;
      const row = Math.floor(start / width) * width;
      let left = start;
      let right = start;
      while (left > row && labels[left - 1] === old) left--;
      while (right < row + width - 1 && labels[right + 1] === old) right++;
      this.span(row / width, left - row, right - row, label);
      for (const next of [-width, width]) {
        if (row + next < 0 || row + next >= width * height) continue;
        for (let i = left + next; i <= right + next; i++) {
          if (labels[i] === old && (i === left + next || labels[i - 1] !== old)) stack.push(i);
        }
      }
    }
  }

  // ---- undo and redo: a step is a rectangle of labels, run-length encoded, that is exchanged with the map's

  begin() {
    this.before = this.labels.slice();
    this.changed = this.emptyBox();
  }

  // Ends what begin() started. Returns whether any pixel has another label than before.
  commit() {
    const { before, changed, width, height } = this;
    this.before = null;
    if (!before || changed.x1 < 0) return false;
    const old = this.cut(before, changed);
    const now = this.cut(this.labels, changed);
    if (old.every((label, i) => label === now[i])) return false;
    this.remember({ width, height, box: { ...changed }, runs: Uint32Array.from(encodeRuns(old)) });
    return true;
  }

  // Takes back what was drawn since begin().
  revert() {
    const { before, changed } = this;
    this.before = null;
    if (!before || changed.x1 < 0) return;
    this.labels.set(before);
    this.touch(changed.x0, changed.y0, changed.x1, changed.y1);
  }

  // The same drawing, history included, in other numbers.
  translate(table) {
    this.labels.forEach((id, i) => (this.labels[i] = table[id]));
    this.before?.forEach((id, i) => (this.before[i] = table[id]));
    for (const { runs } of [...this.undoSteps, ...this.redoSteps]) translateRuns(runs, table);
    this.touch(0, 0, this.width - 1, this.height - 1);
  }

  // The same drawing at another size, by the nearest pixel. So is its history: steps of the old size would not fit.
  resample(width, height) {
    const states = (undo) => {
      const past = new LabelMap(this.width, this.height, this.labels.slice());
      Object.assign(past, { undoSteps: [...this.undoSteps], redoSteps: [...this.redoSteps] });
      const steps = [];
      while (undo ? past.undo() : past.redo()) steps.unshift(past.resized(width, height).wholeStep());
      return steps;
    };
    const [undoSteps, redoSteps] = [states(true), states(false)];
    const { labels } = this.resized(width, height);
    Object.assign(this, { undoSteps, redoSteps });
    this.load(width, height, labels);
  }

  // A copy at another size, without a history.
  resized(width, height) {
    const labels = new Uint16Array(width * height);
    for (let y = 0; y < height; y++) {
      const row = Math.floor(((y + 0.5) * this.height) / height) * this.width;
      for (let x = 0; x < width; x++) {
        labels[y * width + x] = this.labels[row + Math.floor(((x + 0.5) * this.width) / width)];
      }
    }
    return new LabelMap(width, height, labels);
  }

  // Another map in this one's place.
  replace(width, height, labels) {
    this.remember(this.wholeStep());
    this.load(width, height, labels);
  }

  exchange(from, to) {
    const step = from.pop();
    if (!step) return false;
    const { box } = step;
    if (step.width !== this.width || step.height !== this.height) {
      to.push(this.wholeStep());
      this.load(step.width, step.height, decodeRuns(step.runs, step.width * step.height));
      return true;
    }
    to.push({ ...step, runs: Uint32Array.from(encodeRuns(this.cut(this.labels, box))) });
    const columns = box.x1 - box.x0 + 1;
    const labels = decodeRuns(step.runs, columns * (box.y1 - box.y0 + 1));
    for (let y = box.y0, i = 0; y <= box.y1; y++, i += columns) {
      this.labels.set(labels.subarray(i, i + columns), y * this.width + box.x0);
    }
    this.touch(box.x0, box.y0, box.x1, box.y1);
    return true;
  }

  undo() {
    return this.exchange(this.undoSteps, this.redoSteps);
  }

  redo() {
    return this.exchange(this.redoSteps, this.undoSteps);
  }

  remember(step) {
    this.redoSteps = [];
    this.undoSteps.push(step);
    const stored = () => this.undoSteps.reduce((sum, { runs }) => sum + runs.length, 0);
    while (this.undoSteps.length > MAX_STEPS || (this.undoSteps.length > 1 && stored() > MAX_STORED)) {
      this.undoSteps.shift();
    }
  }

  load(width, height, labels) {
    Object.assign(this, { width, height, labels });
    this.touch(0, 0, width - 1, height - 1);
  }

  wholeStep() {
    const { width, height } = this;
    const box = { x0: 0, y0: 0, x1: width - 1, y1: height - 1 };
    return { width, height, box, runs: Uint32Array.from(encodeRuns(this.labels)) };
  }

  cut(labels, { x0, y0, x1, y1 }) {
    const columns = x1 - x0 + 1;
    const part = new Uint16Array(columns * (y1 - y0 + 1));
    for (let y = y0; y <= y1; y++) {
      part.set(labels.subarray(y * this.width + x0, y * this.width + x1 + 1), (y - y0) * columns);
    }
    return part;
  }
}
