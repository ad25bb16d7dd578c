// Copyright 2026 The dpsims_hf authors. Licensed under the Apache License, Version 2.0.
// What part of the map is seen: zoom and pan by wheel, keys, buttons, space and drag, and two fingers.

const MAX_ZOOM = 32;
const ZOOM_STEP = 1.25;
const stage = $(".stage");
const paper = $(".paper"); // photo, map and overlay; as large as the zoom says
let view = { zoom: 1, x: 0, y: 0 }; // x and y: of the paper's left upper corner, in widths and heights of the stage
let panning = null; // {pointer, x, y} while the map is moved
let spaceHeld = false; // the next drag moves the map
let spaceUsed = false; // it did, so that the key does not paint when it goes up
const touches = new Map(); // pointer id -> {x, y} of the fingers on the canvas
let pinch = null; // {x, y, distance} of two fingers at the last look

let doubts = null; // {mask, labels}: where a proposed map is not sure, and the labels that it proposed

function setDoubts() {
  const told = props.doubts;
  if (!told || !map || told.width !== map.width || told.height !== map.height) doubts = null;
  else doubts = { mask: decodeRuns(told.runs.split(" "), told.width * told.height), labels: map.labels.slice() };
}

// White diagonals over what is doubted and not yet painted over.
function hatchDoubts(y, { x0, x1 }) {
  for (let x = x0; x <= x1; x++) {
    const i = y * map.width + x;
    if (doubts.mask[i] && map.labels[i] === doubts.labels[i] && (x + y) % 4 === 0) pixels[i] = 0xffffffff;
  }
}

function resetView() {
  setView(1, 0, 0);
}

function setView(zoom, x, y) {
  zoom = Math.min(Math.max(zoom, 1), MAX_ZOOM);
  const inside = (shift) => Math.min(0, Math.max(1 - zoom, shift)); // the paper always fills the stage
  view = { zoom, x: inside(x), y: inside(y) };
  const percent = (part) => `${100 * part}%`;
  const size = percent(zoom);
  Object.assign(paper.style, { width: size, height: size, left: percent(view.x), top: percent(view.y) });
  root.dataset.zoom = zoom.toFixed(2);
  $(".zoom output").textContent = `${Math.round(100 * zoom)} %`;
  $("[data-view=out]").disabled = $("[data-view=fit]").disabled = zoom <= 1;
  $("[data-view=in]").disabled = zoom >= MAX_ZOOM;
}

// Zooms about a point of the page, which stays where it is; none is the middle.
function zoomBy(factor, clientX, clientY) {
  const box = stage.getBoundingClientRect();
  const at = (client, start, size) => (client === undefined ? 0.5 : (client - start) / size);
  const [x, y] = [at(clientX, box.left, box.width), at(clientY, box.top, box.height)];
  const zoom = Math.min(Math.max(view.zoom * factor, 1), MAX_ZOOM);
  const ratio = zoom / view.zoom;
  setView(zoom, x - (x - view.x) * ratio, y - (y - view.y) * ratio);
}

function panBy(dx, dy) {
  const box = stage.getBoundingClientRect();
  setView(view.zoom, view.x + dx / box.width, view.y + dy / box.height);
}

function setSpace(held) {
  spaceHeld = held;
  root.classList.toggle("panning", held);
}

stage.addEventListener(
  "wheel",
  (event) => {
    if (!map || !(event.ctrlKey || event.metaKey)) return;
    event.preventDefault();
    const turn = Math.sign(event.deltaY) * Math.min(Math.abs(event.deltaY), 100);
    zoomBy(Math.exp(-0.003 * turn), event.clientX, event.clientY);
  },
  { passive: false },
);

// ---- space or the middle button, and a drag

function startPan(event) {
  panning = { pointer: event.pointerId, x: event.clientX, y: event.clientY };
  spaceUsed = true;
  canvas.setPointerCapture(event.pointerId);
}

function movePan(event) {
  panBy(event.clientX - panning.x, event.clientY - panning.y);
  Object.assign(panning, { x: event.clientX, y: event.clientY });
}

// ---- two fingers

const middle = () => {
  const [a, b] = [...touches.values()];
  return { x: (a.x + b.x) / 2, y: (a.y + b.y) / 2, distance: Math.max(Math.hypot(a.x - b.x, a.y - b.y), 1) };
};

// Returns whether the fingers move the map instead of painting.
function fingerDown(event) {
  if (event.pointerType !== "touch") return false;
  touches.set(event.pointerId, { x: event.clientX, y: event.clientY });
  if (touches.size < 2) return false;
  if (touches.size === 2) {
    abandon(); // what the first finger began was no stroke
    pinch = middle();
  }
  return true;
}

function fingerMove(event) {
  if (!touches.has(event.pointerId)) return false;
  touches.set(event.pointerId, { x: event.clientX, y: event.clientY });
  if (!pinch) return false;
  if (touches.size !== 2) return true;
  const now = middle();
  zoomBy(now.distance / pinch.distance, now.x, now.y);
  if (view.zoom > 1) panBy(now.x - pinch.x, now.y - pinch.y);
  else window.scrollBy(0, pinch.y - now.y); // the whole map is seen: the page moves
  pinch = now;
  return true;
}

// A finger that stays after a pinch paints nothing until it is lifted.
function fingerUp(event) {
  if (!touches.delete(event.pointerId)) return false;
  const wasPinch = Boolean(pinch);
  if (!touches.size) pinch = null;
  else if (touches.size === 2) pinch = middle();
  return wasPinch;
}

$(".zoom").addEventListener("click", (event) => {
  const step = event.target.closest("button")?.dataset.view;
  if (step === "fit") resetView();
  else if (step) zoomBy(step === "in" ? ZOOM_STEP : 1 / ZOOM_STEP);
});
