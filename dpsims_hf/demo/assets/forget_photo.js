() => {
  for (const key of ["photo.TAB", "canvas.TAB", "canvas.TAB.history"]) {
    try {
      sessionStorage.removeItem(`dpsims.${key}`);
    } catch {
      // storage is switched off: nothing is kept
    }
  }
  return { __type__: "update", visible: false };
}
