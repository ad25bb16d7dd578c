// Copyright 2026 The dpsims_hf authors. Licensed under the Apache License, Version 2.0.
// The looks of a model as small pictures of the present scene. They are asked for when they are in sight and no new
// picture has come for a while, and given up as soon as somebody paints.

const PAUSE_MS = 700; // without a new picture
const MAX_COLUMNS = 6;
const strip = element.querySelector(".look-strip");
const row = strip.querySelector(".look-row");
let isStale = true; // the scene has changed since they were asked for
let isSeen = false;
let timer = 0;

function show() {
  const looks = props.value ?? [];
  strip.hidden = !looks.length;
  row.style.setProperty("--columns", Math.min(looks.length, MAX_COLUMNS));
  strip.querySelector(".look-title").textContent = props.label;
  row.setAttribute("aria-label", props.label);
  while (row.children.length > looks.length) row.lastChild.remove();
  while (row.children.length < looks.length) row.append(newLook());
  for (const [i, { name, image }] of looks.entries()) {
    const button = row.children[i]; // stays, so that it keeps the focus
    const [picture, title] = button.children;
    if (image && picture.getAttribute("src") !== image) picture.src = image;
    if (!image) picture.removeAttribute("src");
    title.textContent = name;
  }
  mark();
}

// The look of the seed that the page shows; the page draws after each change of the seed, which is when this is called.
function mark() {
  const seed = props.seed && document.querySelector(props.seed)?.value;
  for (const [i, button] of [...row.children].entries()) {
    if (props.seed) button.setAttribute("aria-pressed", props.value[i]?.seed === seed);
  }
}

function newLook() {
  const button = document.createElement("button");
  Object.assign(button, { type: "button", className: "look" });
  const picture = button.appendChild(document.createElement("img"));
  picture.alt = ""; // the name beside it says it
  picture.draggable = false;
  button.appendChild(document.createElement("span"));
  return button;
}

row.addEventListener("click", (event) => {
  const button = event.target.closest("button");
  if (!button) return;
  trigger("select", { index: [...row.children].indexOf(button), value: button.textContent });
});

function soon() {
  clearTimeout(timer);
  timer = setTimeout(ask, PAUSE_MS);
}

function ask() {
  if (!isStale || !isSeen || document.hidden || !props.value?.length) return;
  isStale = false;
  trigger("want");
}

const changes = new MutationObserver((records) => {
  if (records.every(({ target }) => element.contains(target))) return;
  mark();
  isStale = true;
  soon();
});
const followed = new Set();

// What shows the scene: a part of the page, or the whole tab, whose parts come and go.
function follow() {
  const parts = props.follows ? document.querySelectorAll(props.follows) : [element.closest("[role=tabpanel]")];
  for (const each of parts) {
    if (!each || followed.has(each)) continue;
    followed.add(each);
    changes.observe(each, { childList: true, subtree: true, attributes: true, attributeFilter: ["src"] });
  }
}

new IntersectionObserver((entries) => {
  isSeen = entries.at(-1).isIntersecting;
  follow();
  if (isSeen && isStale) soon();
}).observe(element);

watch("value", show);
follow();
show();
