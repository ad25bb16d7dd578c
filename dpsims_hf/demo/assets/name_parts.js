() => {
  // Names for what gradio leaves without one, or with one that says less than what is seen.
  const name = () => {
    for (const thumbnail of document.querySelectorAll("button.thumbnail-item")) {
      const caption = thumbnail.querySelector(".caption-label")?.textContent.trim();
      if (caption && thumbnail.getAttribute("aria-label") !== caption) thumbnail.setAttribute("aria-label", caption);
    }
    for (const upload of document.querySelectorAll("button.upload-container[aria-label]")) {
      upload.removeAttribute("aria-label"); // its text is its name
    }
    for (const frame of document.querySelectorAll("button:not([aria-label]) > .image-frame")) {
      frame.parentElement.setAttribute("aria-label", "Picture: choose a place on it");
    }
    const empty = document.querySelectorAll("div.empty[aria-label]:not([role])");
    for (const each of empty) each.setAttribute("role", "img");
  };
  let waiting = false;
  const soon = () => {
    if (waiting) return;
    waiting = true;
    setTimeout(() => {
      waiting = false;
      name();
    }, 200);
  };
  new MutationObserver(soon).observe(document.body, { childList: true, subtree: true });
  name();
}
