// Copyright 2026 The dpsims_hf authors. Licensed under the Apache License, Version 2.0.
// The canvas: its state, what passes to and from Python, what is seen. gradio gives element, props, trigger and watch.
// The files form one script: label_canvas_map.js, _palette.js, this one, _keeper.js, _view.js, _tools.js.

const root = element.querySelector(".label-canvas");
const $ = (selector) => root.querySelector(selector);
const canvas = $("canvas");
const context = canvas.getContext("2d");
const overlay = $(".overlay");
const sizeSlider = $(".size input");
const opacitySlider = $(".opacity input");
const tools = [...root.querySelectorAll("button[data-tool]")];
const TOOL_KEYS = { b: "brush", e: "eraser", f: "fill", r: "rectangle", p: "polygon", i: "pick" };
const ARROWS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
const DOUBLE_CLICK_MS = 400;
const SAME_SPOT = 8; // CSS pixels

let map = null;
let image = null; // ImageData of the map and its pixels as 32 bit numbers
let pixels = null;
let colors = new Uint32Array(0); // by class id
let classesKey = ""; // tells new classes from the same ones sent again
let known; // the value that Python sent or was sent last
let stale = null; // the value of before `restore`, which gradio sets once more while the page is built
let owner; // the model whose classes these are
let tool = "brush";
let painting = "brush"; // the tool to which "pick" returns
let label = 0;
let hover = null; // {x, y, exactX, exactY} under the pointer or the keyboard's cursor
let byKeyboard = false;
let drag = null; // {pointer, last} of a stroke, {pointer, corner} of a rectangle
let corner = null; // the first corner of a rectangle drawn by keyboard
let points = []; // corners of the polygon in progress
let lastClick = { time: -Infinity };
let lastPublished = -Infinity;
let timer = 0; // of the next event during a stroke
let lastDab = null; // where the last stroke ended, from which Shift and a click draw a straight line
let pending = 0; // timer of props that have come and are not yet taken in

const palette = new Palette(root, { onChoose: choose, onLeave: () => canvas.focus({ preventScroll: true }) });

// ---- Python: props.value in, `paint` out

// gradio sets the props of one update one after the other; they belong together.
function receiveSoon() {
  pending ||= setTimeout(receive);
}

function receive() {
  clearTimeout(pending);
  pending = 0;
  if (stale && sameValue(props.value, stale)) props.value = known;
  const { value, classes = [] } = props;
  const isFirst = !classesKey;
  const newClasses = JSON.stringify(classes) !== classesKey;
  const newValue = !sameValue(value, known);
  if (newClasses || newValue) dropStroke();
  if (newClasses) setClasses(classes);
  if (newValue && !(map && newClasses && sameValue(value, payload()))) setMap(value);
  if (map && (newClasses || (!isFirst && owner !== props.owner))) {
    makeLegal();
    store();
  }
  if (newValue) setDoubts();
  if (isFirst) {
    restore();
    if (props.underlay) keep(false); // a photo's map is proposed once
  } else if (newClasses || newValue) keep(true);
  setPhoto();
  tools.find((button) => button.dataset.tool === "eraser").title = `Eraser (E): paints ${nameOf(eraserLabel())}`;
  canvas.setAttribute("aria-label", `${props.label || "Label map"}. Arrow keys move, Space paints, ? lists the keys.`);
  show();
  const newOwner = !isFirst && owner !== props.owner;
  owner = props.owner;
  if (newOwner && map) publish(); // another model draws it
}

function sameValue(a, b) {
  if (!a || !b) return !a && !b;
  return a.width === b.width && a.height === b.height && a.runs === b.runs;
}

// Ends a stroke in progress without an event: it would send the old map after the new one has come.
function dropStroke() {
  clearTimeout(timer);
  timer = 0;
  if (drag?.last) map.commit();
  drag = null;
  cancel();
}

function setMap(value) {
  known = value;
  if (!value) {
    map = null;
    return;
  }
  const { width, height } = value;
  const labels = decodeRuns(value.runs.split(" "), width * height);
  if (map) map.replace(width, height, labels);
  else map = new LabelMap(width, height, labels);
}

// The drawing is carried over, and the chosen class stays the same if the new classes have one of its name.
function setClasses(classes) {
  const name = palette.classes[label]?.name;
  classesKey = JSON.stringify(classes);
  carry(classes);
  palette.setClasses(classes);
  setColors();
  const same = classes.findIndex((each) => each.name === name);
  choose(same < 0 ? (props.first_label ?? 0) : same);
}

function setColors() {
  // ImageData has the machine's byte order, and all that browsers run on are little-endian
  const packed = ({ color: [r, g, b] }) => ((255 << 24) | (b << 16) | (g << 8) | r) >>> 0;
  colors = Uint32Array.from([...palette.classes, ...foreign], packed);
}

function eraserLabel() {
  return props.eraser_label ?? 0;
}

function nameOf(id) {
  const count = palette.classes.length;
  return palette.classes[id]?.name ?? (foreign[id - count] ? `${foreign[id - count].name} (not in this model)` : "");
}

function setPhoto() {
  const photo = $(".photo");
  const source = props.underlay || "";
  if (source && photo.getAttribute("src") !== source) photo.src = source;
  photo.hidden = $(".opacity").hidden = !source;
  $(".opacity output").textContent = `${opacitySlider.value} %`;
  canvas.style.opacity = source ? opacitySlider.value / 100 : 1;
}

function store() {
  known = payload();
  props.value = known;
}

function publish() {
  if (pending) return receive(); // ours is the old map
  clearTimeout(timer);
  timer = 0;
  stale = null;
  lastPublished = performance.now();
  store();
  keep(!drag);
  trigger("paint");
}

function publishSoon() {
  const interval = props.live_interval_ms ?? 150;
  if (interval && !timer) timer = setTimeout(publish, Math.max(lastPublished + interval - performance.now(), 0));
}

// One change, from its beginning to its end.
function change(draw) {
  if (!map) return;
  map.begin();
  draw(map);
  finish();
}

function finish() {
  clearTimeout(timer);
  timer = 0;
  const changed = map.commit();
  show();
  if (changed) publish();
}

function step(moved) {
  if (!moved) return;
  makeLegal();
  show();
  publish();
}

// ---- what is seen

function show() {
  root.dataset.tool = tool;
  root.dataset.label = label;
  root.dataset.undo = map ? map.undoSteps.length : 0;
  root.dataset.redo = map ? map.redoSteps.length : 0;
  $("[data-action=undo]").disabled = !map || !map.undoSteps.length;
  $("[data-action=redo]").disabled = !map || !map.redoSteps.length;
  $(".empty").hidden = Boolean(map);
  canvas.hidden = overlay.hidden = !map;
  $(".extent").textContent = map ? `${map.width} × ${map.height} pixels` : "";
  const counts = new Uint32Array(palette.classes.length + foreign.length);
  showForeign();
  if (map) {
    fitCanvas();
    draw();
    for (const id of map.labels) counts[id]++;
  }
  palette.setCounts(counts, map ? map.labels.length : 1);
  showPointer();
}

function fitCanvas() {
  const { width, height } = map;
  if (image && image.width === width && image.height === height) return;
  Object.assign(canvas, { width, height });
  overlay.setAttribute("viewBox", `0 0 ${width} ${height}`);
  $(".board").style.setProperty("--ratio", width / height);
  image = new ImageData(width, height);
  pixels = new Uint32Array(image.data.buffer);
  hover = lastDab = null;
  resetView();
  sizeSlider.max = Math.max(8, Math.round(Math.max(width, height) / 4));
  setSize(Math.max(1, Math.round(Math.min(width, height) / 12)));
  map.touch(0, 0, width - 1, height - 1);
}

function draw() {
  const box = map.takeDirty();
  if (!box) return;
  for (let y = box.y0; y <= box.y1; y++) {
    for (let i = y * map.width + box.x0; i <= y * map.width + box.x1; i++) pixels[i] = colors[map.labels[i]];
    if (foreign.length) hatch(y, box);
    if (doubts?.mask.length === map.labels.length) hatchDoubts(y, box);
  }
  context.putImageData(image, 0, 0, box.x0, box.y0, box.x1 - box.x0 + 1, box.y1 - box.y0 + 1);
}

// Foreign pixels: diagonals of their own colour and of the class that Python gets.
function hatch(y, { x0, x1 }) {
  const [count, other] = [palette.classes.length, colors[eraserLabel()]];
  for (let x = x0; x <= x1; x++) {
    const i = y * map.width + x;
    if (map.labels[i] >= count && (x + y) % 4 < 2) pixels[i] = other;
  }
}

function showPointer() {
  const path = map ? outline() : "";
  for (const line of overlay.children) line.setAttribute("d", path);
  const shape = points.length > 0 || Boolean(drag?.corner ?? corner);
  overlay.lastElementChild.style.fill = shape ? palette.color() : "none";
  const where = $(".where");
  where.setAttribute("aria-live", byKeyboard ? "polite" : "off");
  const here = map && hover ? `${hover.y}, ${hover.x}: ${nameOf(map.at(hover.x, hover.y))}` : "";
  const guide = map ? (props.guide ?? "") : "";
  where.textContent = points.length ? `${here}. Enter or a double click closes, Escape cancels.` : here || guide;
}

// The brush, the rectangle or the polygon in progress, or the keyboard's cursor, as an SVG path in map coordinates.
function outline() {
  const box = (a, b) => {
    const [x0, x1, y0, y1] = [Math.min(a.x, b.x), Math.max(a.x, b.x) + 1, Math.min(a.y, b.y), Math.max(a.y, b.y) + 1];
    return `M${x0} ${y0}H${x1}V${y1}H${x0}Z`;
  };
  const start = drag?.corner ?? corner;
  if (points.length) {
    const corners = hover ? [...points, hover] : points;
    return `M${corners.map(({ x, y }) => `${x + 0.5} ${y + 0.5}`).join("L")}${box(points[0], points[0])}`;
  }
  if (start && hover) return box(start, hover);
  if (!hover) return "";
  if (tool === "brush" || tool === "eraser") {
    const { x, y } = dab(hover);
    const [size, shift] = [Number(sizeSlider.value), sizeSlider.value % 2 ? 0.5 : 0];
    const r = size / 2;
    return `M${x + shift - r} ${y + shift}a${r} ${r} 0 1 0 ${size} 0a${r} ${r} 0 1 0 ${-size} 0`;
  }
  return byKeyboard ? box(hover, hover) : "";
}
