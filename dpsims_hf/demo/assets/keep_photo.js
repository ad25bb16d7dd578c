(content) => {
  // The photo stays in this browser tab, scaled down; a note says so if it cannot.
  const key = "dpsims.photo.TAB";
  let kept = true;
  try {
    if (content?.photo) sessionStorage.setItem(key, JSON.stringify(content));
    else sessionStorage.removeItem(key);
    kept = !content || Boolean(content.photo);
  } catch {
    sessionStorage.removeItem(key);
    kept = false;
  }
  return { __type__: "update", visible: !kept };
}
