() => {
  // The open tab stands in the address, so that it can be sent to somebody and is there after a reload.
  // The page opens on the first tab, before `read_kept` has looked which one the address wants.
  if (!document.documentElement.dataset.kept) return;
  setTimeout(() => {
    const id = document.querySelector("#tabs [role=tab][aria-selected=true]")?.id ?? "";
    const name = /^tab-(.+)-button$/.exec(id)?.[1];
    const url = new URL(location.href);
    if (!name || url.searchParams.get("tab") === name) return;
    url.searchParams.set("tab", name);
    history.replaceState(history.state, "", url);
  });
}
