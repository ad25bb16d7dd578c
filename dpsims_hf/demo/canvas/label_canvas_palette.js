// Copyright 2026 The dpsims_hf authors. Licensed under the Apache License, Version 2.0.
// The list of classes: search, choice by pointer and keyboard, classes of the map first with their share.

// Words for the same things: who searches one of them means the classes that are called by another.
const SYNONYMS = [
  ["sidewalk", "pavement", "footpath", "walkway"],
  ["person", "pedestrian", "people", "human", "man", "woman"],
  ["vehicle", "car", "truck", "bus", "van", "automobile"],
  ["grass", "vegetation", "plant", "terrain", "lawn"],
  ["tree", "vegetation", "plant", "bush"],
  ["road", "street", "lane", "asphalt"],
  ["building", "house", "facade", "architecture"],
  ["bicyclist", "cyclist", "rider", "bike", "bicycle"],
  ["pole", "column", "lamp", "post"],
  ["water", "river", "sea", "lake"],
  ["fence", "railing", "barrier"],
  ["void", "unknown", "unlabeled", "unlabelled", "ignore"],
];
const FEW_CLASSES = 16; // so many are all in sight, without scrolling
const NUMBER_KEYS = 9; // 1 .. 9 choose the first classes; 0 fits the map into its frame

// Whether a class is called by a word, or by another one for the same thing.
function isCalled(name, word) {
  if (name.includes(word)) return true;
  const words = name.split(/[^\p{L}\p{N}]+/u);
  const meansName = (group) => group.some((each) => each.startsWith(word)) && words.some((each) => group.includes(each));
  return word.length > 2 && SYNONYMS.some(meansName);
}

class Palette {
  constructor(root, { onChoose, onLeave }) {
    this.search = root.querySelector(".search");
    this.list = root.querySelector(".classes");
    this.groups = { used: root.querySelector(".used"), unused: root.querySelector(".unused") };
    this.nothing = root.querySelector(".nothing");
    this.chosen = root.querySelector(".chosen");
    this.prefix = `class-${Math.random().toString(36).slice(2)}-`;
    Object.assign(this, { options: [], classes: [], label: 0, onChoose, onLeave });
    this.search.addEventListener("input", () => this.filter());
    this.search.addEventListener("keydown", (event) => this.onSearchKey(event));
    this.list.addEventListener("keydown", (event) => this.onListKey(event));
    this.list.addEventListener("click", (event) => {
      const option = event.target.closest("[role=option]");
      if (option) onChoose(Number(option.dataset.label));
    });
  }

  setClasses(classes) {
    this.classes = classes;
    this.options = classes.map(({ id, name, color }) => {
      const option = document.createElement("div");
      option.id = this.prefix + id;
      option.setAttribute("role", "option");
      option.dataset.label = id;
      option.dataset.key = id < NUMBER_KEYS ? id + 1 : "";
      const [swatch, title, share] = ["swatch", "name", "share"].map((kind) => {
        const part = option.appendChild(document.createElement("span"));
        part.className = kind;
        return part;
      });
      swatch.style.background = `rgb(${color.join(",")})`;
      title.textContent = name;
      option.title = id < NUMBER_KEYS ? `${name} (class ${id}, key ${id + 1})` : `${name} (class ${id})`;
      share.textContent = id;
      return option;
    });
    this.list.closest(".label-canvas").classList.toggle("few", classes.length <= FEW_CLASSES);
    this.search.placeholder = `Search ${classes.length} classes`;
    this.search.value = "";
    this.groups.used.replaceChildren();
    this.groups.unused.replaceChildren(...this.options);
    this.filter();
  }

  // Options move between the two groups, in the order of their ids, so that the list does not jump while painting.
  setCounts(counts, size) {
    const scrolled = this.list.scrollTop;
    for (const [id, option] of this.options.entries()) {
      const share = counts[id] / size;
      option.lastChild.textContent = counts[id] ? (share < 0.001 ? "< 0.1 %" : `${(100 * share).toFixed(1)} %`) : id;
      const group = counts[id] ? this.groups.used : this.groups.unused;
      if (option.parentNode === group) continue;
      group.insertBefore(option, [...group.children].find((other) => Number(other.dataset.label) > id) ?? null);
    }
    this.list.scrollTop = scrolled;
    this.hideEmptyGroups();
  }

  setLabel(label) {
    this.label = label;
    for (const [id, option] of this.options.entries()) option.setAttribute("aria-selected", id === label);
    const option = this.options[label];
    this.list.setAttribute("aria-activedescendant", option ? option.id : "");
    const [swatch, title] = this.chosen.children;
    swatch.style.background = option ? option.firstChild.style.background : "none";
    title.textContent = option ? this.classes[label].name : "";
  }

  color() {
    return this.chosen.firstElementChild.style.background;
  }

  filter() {
    const words = this.search.value.trim().toLowerCase().split(/\s+/);
    for (const [id, option] of this.options.entries()) {
      const name = this.classes[id].name.toLowerCase();
      option.hidden = !words.every((word) => isCalled(name, word) || String(id) === word);
    }
    this.hideEmptyGroups();
  }

  hideEmptyGroups() {
    for (const group of Object.values(this.groups)) {
      group.parentNode.hidden = [...group.children].every((option) => option.hidden);
    }
    this.nothing.hidden = this.visible().length > 0;
  }

  visible() {
    return [...this.list.querySelectorAll("[role=option]")].filter((option) => !option.hidden);
  }

  // The best hit: the very id or name, then names that begin with the text, then the rest in the order of the list.
  firstHit() {
    const text = this.search.value.trim().toLowerCase();
    const rank = ({ dataset: { label } }) => {
      const name = this.classes[label].name.toLowerCase();
      return label === text || name === text ? 0 : name.startsWith(text) ? 1 : name.includes(text) ? 2 : 3;
    };
    return this.visible().sort((a, b) => rank(a) - rank(b))[0];
  }

  onSearchKey(event) {
    if (event.key === "Enter") {
      const hit = this.firstHit();
      if (!hit) return;
      this.clearSearch();
      this.choose(hit);
      this.onLeave();
    } else if (event.key === "Escape") {
      this.clearSearch();
      this.onLeave();
    } else if (event.key === "ArrowDown") {
      this.list.focus();
    } else {
      return;
    }
    event.preventDefault();
  }

  onListKey(event) {
    const options = this.visible();
    const now = options.indexOf(this.options[this.label]);
    const to = {
      ArrowDown: now + 1,
      ArrowUp: now - 1,
      PageDown: now + 8,
      PageUp: now - 8,
      Home: 0,
      End: options.length - 1,
    }[event.key];
    if (event.key === "Enter") this.onLeave();
    else if (to === undefined || !options.length) return;
    else this.choose(options[Math.min(Math.max(to, 0), options.length - 1)]);
    event.preventDefault();
  }

  choose(option) {
    this.onChoose(Number(option.dataset.label));
    this.reveal();
  }

  // Scrolls the list, never the page.
  reveal() {
    const option = this.options[this.label];
    if (!option) return;
    const [inner, outer] = [option.getBoundingClientRect(), this.list.getBoundingClientRect()];
    if (inner.top < outer.top) this.list.scrollTop += inner.top - outer.top;
    if (inner.bottom > outer.bottom) this.list.scrollTop += inner.bottom - outer.bottom;
  }

  clearSearch() {
    this.search.value = "";
    this.filter();
  }
}
