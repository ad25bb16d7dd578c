(seed) => {
  // At once, before the server tells of it.
  try {
    const look = JSON.parse(sessionStorage.getItem("dpsims.look"));
    if (!look || !Number.isInteger(seed)) return;
    if (look.variant.seed !== seed) delete look.variant.look; // noise that was found for a photo
    look.variant.seed = seed;
    sessionStorage.setItem("dpsims.look", JSON.stringify(look));
  } catch {
    // storage is switched off: the canvas tells it
  }
}
