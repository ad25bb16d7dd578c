() => {
  // What this browser tab kept before a reload, and the tab that the address names.
  const read = (key) => {
    try {
      return JSON.parse(sessionStorage.getItem(key));
    } catch {
      return null;
    }
  };
  const isShown = document.querySelector("#sketch-canvas canvas"); // then it has its drawing already
  const server = window.gradio_config?.app_id ?? null;
  const before = read("dpsims.server");
  try {
    sessionStorage.setItem("dpsims.server", JSON.stringify(server));
  } catch {
    // storage is switched off: the canvas tells it
  }
  const restarted = before !== null && server !== null && before !== server;
  const tab = new URL(location.href).searchParams.get("tab");
  document.documentElement.dataset.kept = "read";
  return [{ look: read("dpsims.look"), map: isShown ? null : read("dpsims.canvas.sketch"), tab, restarted }];
}
