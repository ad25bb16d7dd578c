// Copyright 2026 The dpsims_hf authors. Licensed under the Apache License, Version 2.0.
// Tools, pointer and keyboard of the canvas.

function choose(id) {
  label = id;
  palette.setLabel(id);
  if (tool === "eraser" || tool === "pick") setTool(painting === "eraser" ? "brush" : painting);
  root.dataset.label = id;
}

function setTool(name) {
  cancel();
  tool = name;
  if (name !== "pick") painting = name;
  for (const button of tools) button.setAttribute("aria-pressed", button.dataset.tool === name);
  root.dataset.tool = name;
  showPointer();
}

function setSize(size) {
  sizeSlider.value = size;
  $(".size output").textContent = `${sizeSlider.value} px`;
  showPointer();
}

function cancel() {
  if (drag?.last) finish();
  drag = corner = null;
  points = [];
  showPointer();
}

// Takes back the stroke in progress.
function abandon() {
  const sent = drag?.last && lastPublished > drag.start;
  if (drag?.last) map.revert();
  clearTimeout(timer);
  timer = 0;
  drag = corner = null;
  show();
  if (sent) publish();
}

function pick({ x, y }) {
  const id = map.at(x, y);
  if (id >= palette.classes.length) return; // not in this model
  choose(id);
  palette.reveal();
}

// The middle of the brush: a pixel for odd sizes, a corner of pixels for even ones.
function dab({ exactX, exactY }) {
  const snap = sizeSlider.value % 2 ? Math.floor : Math.round;
  return { x: snap(exactX), y: snap(exactY) };
}

function stroke(from, to) {
  map.stroke(from, to, Number(sizeSlider.value), tool === "eraser" ? eraserLabel() : label);
}

function addPoint({ x, y }) {
  points.push({ x, y });
  showPointer();
}

function closePolygon() {
  const corners = points;
  points = [];
  if (corners.length > 1) change(() => map.polygon(corners, label));
  showPointer();
}

// ---- pointer

function locate(event) {
  const box = canvas.getBoundingClientRect();
  const exactX = ((event.clientX - box.left) / box.width) * map.width;
  const exactY = ((event.clientY - box.top) / box.height) * map.height;
  const clip = (value, size) => Math.min(Math.max(Math.floor(value), 0), size - 1);
  return { x: clip(exactX, map.width), y: clip(exactY, map.height), exactX, exactY };
}

canvas.addEventListener("pointerdown", (event) => {
  if (!map || fingerDown(event)) return;
  if (event.button === 1 || (spaceHeld && event.button === 0)) {
    event.preventDefault();
    return startPan(event);
  }
  if (event.button !== 0 || !event.isPrimary) return;
  event.preventDefault();
  canvas.focus({ preventScroll: true });
  canvas.setPointerCapture(event.pointerId);
  byKeyboard = false;
  corner = null;
  hover = locate(event);
  if (event.altKey || tool === "pick") pick(hover);
  else if (tool === "fill") change(() => map.fill(hover.x, hover.y, label));
  else if (tool === "rectangle") drag = { pointer: event.pointerId, corner: hover };
  else if (tool === "polygon") clickCorner(event);
  else {
    const spot = dab(hover);
    drag = { pointer: event.pointerId, last: (event.shiftKey && lastDab) || spot, start: performance.now() };
    map.begin();
    paintTo(spot);
    draw();
  }
  showPointer();
});

function paintTo(point) {
  stroke(drag.last, point);
  drag.last = lastDab = point;
  if (map.changed.x1 >= 0) publishSoon();
}

function clickCorner(event) {
  const near = (spot) => Math.hypot(event.clientX - spot.clientX, event.clientY - spot.clientY) < SAME_SPOT;
  const double = event.timeStamp - lastClick.time < DOUBLE_CLICK_MS && near(lastClick);
  lastClick = { time: event.timeStamp, clientX: event.clientX, clientY: event.clientY };
  const box = canvas.getBoundingClientRect();
  const first = points[0] && {
    clientX: box.left + ((points[0].x + 0.5) / map.width) * box.width,
    clientY: box.top + ((points[0].y + 0.5) / map.height) * box.height,
  };
  if (points.length > 1 && (double || near(first))) closePolygon();
  else addPoint(hover);
}

canvas.addEventListener("pointermove", (event) => {
  if (panning?.pointer === event.pointerId) return movePan(event);
  if (!map || fingerMove(event) || !event.isPrimary) return;
  byKeyboard = false;
  hover = locate(event);
  if (drag?.last) {
    const events = event.getCoalescedEvents?.() ?? [];
    for (const each of events.length ? events : [event]) paintTo(dab(locate(each)));
    draw();
  }
  showPointer();
});

canvas.addEventListener("pointerup", (event) => {
  if (panning?.pointer === event.pointerId) panning = null;
  if (fingerUp(event) || drag?.pointer !== event.pointerId) return;
  const { corner: start } = drag;
  drag = null;
  if (!start) finish();
  else change(() => map.rectangle(start, locate(event), label));
  showPointer();
});

canvas.addEventListener("pointercancel", (event) => {
  if (panning?.pointer === event.pointerId) panning = null;
  if (!fingerUp(event) && drag?.pointer === event.pointerId) cancel();
});
canvas.addEventListener("pointerleave", () => {
  if (byKeyboard || drag) return;
  hover = null;
  showPointer();
});
canvas.addEventListener("blur", () => {
  if (!byKeyboard) return;
  byKeyboard = false;
  hover = corner = null;
  showPointer();
});

// ---- keyboard

canvas.addEventListener("keydown", (event) => {
  if (!map || event.ctrlKey || event.metaKey || event.altKey) return;
  const { key } = event;
  if (ARROWS[key]) moveCursor(ARROWS[key], event.shiftKey ? 10 : 1);
  else if (key === "Escape") cancel();
  else if (key === "Enter" && points.length) closePolygon();
  else if (key === "Enter") applyTool();
  else return;
  event.preventDefault();
});

function moveCursor([dx, dy], distance) {
  const clip = (value, size) => Math.min(Math.max(value, 0), size - 1);
  const from = hover ?? { x: map.width >> 1, y: map.height >> 1 };
  setCursor(clip(from.x + dx * distance, map.width), clip(from.y + dy * distance, map.height));
}

function setCursor(x, y) {
  byKeyboard = true;
  hover = { x, y, exactX: x + 0.5, exactY: y + 0.5 };
  showPointer();
}

function applyTool() {
  if (!byKeyboard) setCursor(hover?.x ?? map.width >> 1, hover?.y ?? map.height >> 1);
  const { x, y } = hover;
  if (tool === "pick") pick(hover);
  else if (tool === "fill") change(() => map.fill(x, y, label));
  else if (tool === "polygon") addPoint(hover);
  else if (tool !== "rectangle") change(() => stroke(dab(hover), dab(hover)));
  else if (!corner) corner = { x, y };
  else {
    const start = corner;
    corner = null;
    change(() => map.rectangle(start, { x, y }, label));
  }
  showPointer();
}

// Keys work unless text is typed: those of the canvas with the focus, else of the one under the pointer or the only one.
function keysAreOurs() {
  const focused = document.activeElement;
  const typed = "textarea, select, [contenteditable], [role=combobox], [role=listbox]:not(.classes), dialog[open], ";
  const ticked = "input:not([type=range], [type=checkbox], [type=radio])";
  if (focused?.closest(typed + ticked)) return false;
  const owner = focused?.closest(".label-canvas");
  if (owner) return owner === root;
  const seen = [...document.querySelectorAll(".label-canvas")].filter((each) => each.checkVisibility());
  return root.matches(":hover") || (seen.length === 1 && seen[0] === root);
}

function onKey(event) {
  if (!root.isConnected) return document.removeEventListener("keydown", onKey);
  if (event.defaultPrevented || event.altKey || !keysAreOurs()) return;
  const key = event.key.toLowerCase();
  const isDone = event.ctrlKey || event.metaKey ? onControlKey(key, event.shiftKey) : onPlainKey(key, event);
  if (isDone) event.preventDefault();
}

function onControlKey(key, shift) {
  if (key === "z") undoOrRedo(shift);
  else if (key === "y") undoOrRedo(true);
  else return false;
  return true;
}

function onPlainKey(key, event) {
  const size = Number(sizeSlider.value);
  if (TOOL_KEYS[key]) setTool(TOOL_KEYS[key]);
  else if (key === "[") setSize(Math.min(size - 1, Math.round(size / 1.2)));
  else if (key === "]") setSize(Math.max(size + 1, Math.round(size * 1.2)));
  else if (key === "/") palette.search.focus();
  else if (key === "?") showKeys();
  else if (key === "0") resetView();
  else if (key === "+" || key === "=") zoomBy(ZOOM_STEP);
  else if (key === "-") zoomBy(1 / ZOOM_STEP);
  else if (/^[1-9]$/.test(key)) key <= palette.classes.length && choose(key - 1);
  else if (key === " ") return onSpace(event);
  else return false;
  return true;
}

// Held, it moves the map with the pointer; pressed alone on the canvas, it paints when it goes up.
function onSpace(event) {
  const onCanvas = document.activeElement === canvas;
  if (!onCanvas && !stage.matches(":hover")) return false;
  if (!event.repeat && map) {
    spaceUsed = !onCanvas;
    setSpace(true);
  }
  return true;
}

function onKeyUp(event) {
  if (!root.isConnected) return document.removeEventListener("keyup", onKeyUp);
  if (event.key !== " " || !spaceHeld) return;
  setSpace(false);
  event.preventDefault();
  if (!spaceUsed && map) applyTool();
}

function showKeys() {
  $(".keys").showModal();
}

// One thing at a time: the last corner of a polygon, else the stroke or the rectangle in progress, else the last change.
function undoOrRedo(forward) {
  if (!map) return;
  if (!forward && points.length) {
    points.pop();
    return showPointer();
  }
  if (!forward && (drag || corner)) return abandon();
  cancel();
  step(forward ? map.redo() : map.undo());
}

document.addEventListener("keydown", onKey);
document.addEventListener("keyup", onKeyUp);
window.addEventListener("blur", () => setSpace(false));
$(".bar").addEventListener("click", (event) => {
  const { tool: name, action } = event.target.closest("button")?.dataset ?? {};
  if (name) setTool(name);
  if (action === "keys") showKeys();
  else if (action === "clear") {
    cancel();
    change(() => map.rectangle({ x: 0, y: 0 }, { x: map.width - 1, y: map.height - 1 }, label));
  } else if (action) undoOrRedo(action === "redo");
});
sizeSlider.addEventListener("input", () => setSize(sizeSlider.value));
opacitySlider.addEventListener("input", setPhoto);

// ---- everything is defined

watch(["value", "classes", "eraser_label", "underlay", "live_interval_ms", "owner", "fit"], receiveSoon);
setTool("brush");
resetView();
receive();
