() => {
  // What this browser tab kept of a photo and of the map drawn over it.
  const read = (key) => {
    try {
      return JSON.parse(sessionStorage.getItem(key));
    } catch {
      return null;
    }
  };
  const photo = read("dpsims.photo.TAB");
  return [photo && { ...photo, map: read("dpsims.canvas.TAB") }, null];
}
