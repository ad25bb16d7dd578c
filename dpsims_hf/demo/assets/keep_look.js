(content) => {
  // What the server says of the scene beside its map; the canvas keeps the map itself.
  if (content.server && content.server !== window.gradio_config?.app_id) {
    location.reload(); // another server, which does not know the scene: it gets what was kept
    return;
  }
  try {
    sessionStorage.setItem("dpsims.look", JSON.stringify(content));
  } catch {
    // storage is full or switched off: the canvas tells it
  }
}
