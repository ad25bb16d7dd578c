// gr.Image tells the right pixel only while the picture is not enlarged.
element.addEventListener("click", (event) => {
  const image = event.target.closest("img");
  if (!image) return;
  const box = image.getBoundingClientRect();
  const pixel = (offset, shown, size) => Math.min(size - 1, Math.max(0, Math.floor((offset / shown) * size)));
  const column = pixel(event.clientX - box.left, box.width, image.naturalWidth);
  const row = pixel(event.clientY - box.top, box.height, image.naturalHeight);
  trigger("select", { index: [column, row], value: "" });
});
