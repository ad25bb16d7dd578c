// Copyright 2026 The dpsims_hf authors. Licensed under the Apache License, Version 2.0.
// No drawing is lost: it is kept in the browser tab's session storage, and carried from class list to class list by
// name. A class that the present list does not have is "foreign": its pixels stay in the drawing under ids behind
// those of the list, and Python gets the eraser's class in their place.

const KEPT = "dpsims.canvas."; // keys of the session storage
const MAX_KEPT_HISTORY = 1e6; // characters
const MAX_KEPT_PIXELS = 4e6;
const MAX_KEPT_CLASSES = 4000;
let foreign = []; // {name, color} of the ids behind those of the list

// Names may stand twice in a list: the second "wall" of one is the second of the other.
function namesWithCounts(classes) {
  const seen = new Map();
  return classes.map(({ name }) => {
    const count = seen.get(name) ?? 0;
    seen.set(name, count + 1);
    return `${count} ${name}`;
  });
}

// Old id -> new id, once `known` is the list of classes; what it lacks becomes foreign.
function carryTable(old, known) {
  const names = namesWithCounts(known);
  const others = namesWithCounts(foreign);
  return namesWithCounts(old).map((name, id) => {
    if (names.includes(name)) return names.indexOf(name);
    if (!others.includes(name)) {
      others.push(name);
      foreign.push({ name: old[id].name, color: old[id].color });
    }
    return known.length + others.indexOf(name);
  });
}

// The drawing in a new list of classes.
function carry(classes) {
  const old = [...palette.classes, ...foreign];
  foreign = [];
  const table = carryTable(old, classes);
  map?.translate(table);
  if (!map) foreign = [];
}

// What Python gets: no foreign ids.
function payload() {
  const count = palette.classes.length;
  const labels = foreign.length ? map.labels.map((id) => (id < count ? id : eraserLabel())) : map.labels;
  return { width: map.width, height: map.height, runs: encodeRuns(labels).join(" ") };
}

function foreignNames() {
  const count = palette.classes.length;
  const used = new Set(foreign.length ? map.labels.filter((id) => id >= count) : []);
  return foreign.filter((_, i) => used.has(count + i)).map(({ name }) => name);
}

function showForeign() {
  const names = map ? foreignNames() : [];
  const note = $(".foreign");
  note.hidden = !names.length;
  if (!names.length) return;
  const few = names.slice(0, 6).join(", ") + (names.length > 6 ? ` and ${names.length - 6} more` : "");
  const one = names.length === 1;
  note.textContent =
    `No match in this model for ${few}: drawn as ${nameOf(eraserLabel())}, shown hatched. ` +
    (one ? "It is kept, and comes back" : "They are kept, and come back") + ` with a model that has ${one ? "it" : "them"}.`;
}

// ---- sizes: a model draws maps of about the size that it was trained at

function isLegal({ width, height }) {
  const fit = props.fit;
  if (!fit) return true;
  const most = fit.stretch * Math.max(fit.width, fit.height);
  const area = (width * height) / (fit.width * fit.height);
  const divides = [width, height].every((side) => side % fit.divisor === 0 && side <= most);
  return divides && area > 0.4 && area < 2;
}

function makeLegal() {
  if (!map || isLegal(map)) return;
  const { width, height, divisor, stretch } = props.fit;
  const scale = Math.sqrt((width * height) / (map.width * map.height));
  const longest = Math.floor((stretch * Math.max(width, height)) / divisor);
  const fitted = (side) => Math.min(longest, Math.max(1, Math.round((side * scale) / divisor))) * divisor;
  const [to, from] = [[fitted(map.width), fitted(map.height)], [map.width, map.height]];
  if (to[0] !== from[0] || to[1] !== from[1]) map.resample(...to);
}

// ---- session storage

function keep(withHistory) {
  if (!props.keep || !map) return;
  const { width, height } = map;
  const classes = [...palette.classes, ...foreign].map(({ name, color }) => ({ name, color }));
  const drawing = { width, height, classes, label, runs: encodeRuns(map.labels).join(" ") };
  try {
    sessionStorage.setItem(KEPT + props.keep, JSON.stringify(drawing));
    if (withHistory) keepHistory();
    showUnkept(false);
  } catch {
    showUnkept(true);
  }
}

// The storage may be full or forbidden; the drawing itself goes before its history.
function keepHistory() {
  const key = `${KEPT}${props.keep}.history`;
  let room = MAX_KEPT_HISTORY;
  const packed = (steps) => {
    const kept = [];
    for (const { width, height, box, runs } of steps.toReversed()) {
      const text = runs.join(" ");
      room -= text.length + 80;
      if (room < 0) break;
      kept.unshift({ width, height, box, runs: text });
    }
    return kept;
  };
  const undo = packed(map.undoSteps);
  try {
    sessionStorage.setItem(key, JSON.stringify({ undo, redo: packed(map.redoSteps) }));
  } catch {
    sessionStorage.removeItem(key);
  }
}

function showUnkept(failed) {
  $(".unkept").hidden = !failed;
}

// What was kept, or null: a drawing of another page, or one that was tampered with, is none.
function readKept() {
  if (!props.keep) return null;
  try {
    const kept = JSON.parse(sessionStorage.getItem(KEPT + props.keep));
    if (!kept || !isDrawing(kept, kept.classes.length)) return null;
    const named = ({ name, color }) => typeof name === "string" && Array.isArray(color) && color.length === 3;
    if (kept.classes.length > MAX_KEPT_CLASSES || !kept.classes.every(named)) return null;
    return kept;
  } catch {
    return null;
  }
}

function isDrawing({ width, height, runs }, count) {
  const size = width * height;
  if (![width, height].every((side) => Number.isInteger(side) && side > 0) || size > MAX_KEPT_PIXELS) return false;
  const numbers = runs.split(" ").map(Number);
  const sum = numbers.reduce((total, number, i) => total + (i % 2 ? number : 0), 0);
  const isLegalNumber = (n, i) => Number.isInteger(n) && n >= 0 && (i % 2 || n < count);
  return numbers.length % 2 === 0 && sum === size && numbers.every(isLegalNumber);
}

function readHistory(count) {
  const unpack = (step) => ({ ...step, runs: Uint32Array.from(step.runs.split(" ")) });
  const steps = (list) => list.filter((step) => isStep(step, count)).map(unpack);
  try {
    const { undo, redo } = JSON.parse(sessionStorage.getItem(`${KEPT}${props.keep}.history`));
    return { undo: steps(undo), redo: steps(redo) };
  } catch {
    return { undo: [], redo: [] };
  }
}

function isStep({ width, height, box, runs }, count) {
  const { x0, y0, x1, y1 } = box;
  const isBox = x0 >= 0 && y0 >= 0 && x1 >= x0 && y1 >= y0 && x1 < width && y1 < height;
  const inside = isBox && width * height <= MAX_KEPT_PIXELS;
  return inside && isDrawing({ width: x1 - x0 + 1, height: y1 - y0 + 1, runs }, count);
}

// The drawing of before a reload, in the present list of classes.
function restore() {
  const kept = readKept();
  if (!kept) return;
  const { undo, redo } = readHistory(kept.classes.length);
  const table = carryTable(kept.classes, palette.classes);
  setColors();
  map = new LabelMap(kept.width, kept.height, decodeRuns(kept.runs.split(" "), kept.width * kept.height));
  Object.assign(map, { undoSteps: undo, redoSteps: redo });
  map.translate(table);
  makeLegal();
  stale = props.value;
  if (table[kept.label] < palette.classes.length) choose(table[kept.label]);
  store();
}
