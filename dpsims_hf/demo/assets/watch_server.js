() => {
  // A server that went away is told at once, and a new one gets what this browser tab kept: without a reload it would
  // know neither the model nor the look, and draw with those that the page opens with.
  const { root = "", api_prefix = "", app_id } = window.gradio_config ?? {};
  const SECONDS = 3;
  const note = document.createElement("div");
  Object.assign(note, { className: "server-away", hidden: true });
  note.setAttribute("role", "status");
  document.body.append(note);
  const tell = (away) => {
    if (note.hidden !== away) return;
    note.textContent = away
      ? "The server does not answer. Your drawing is safe in this browser tab; the page goes on as soon as it is back."
      : "";
    note.hidden = !away;
  };
  // Several servers behind one address would answer in turns: one reload in a minute is enough.
  const justReloaded = () => {
    const last = Number(sessionStorage.getItem("dpsims-reloaded") ?? 0);
    if (Date.now() - last < 60000) return true;
    sessionStorage.setItem("dpsims-reloaded", Date.now());
    return false;
  };
  const look = async () => {
    if (document.hidden) return;
    try {
      const answer = await fetch(`${root}${api_prefix}/app_id`, { cache: "no-store", signal: AbortSignal.timeout(10000) });
      if (!answer.ok) return tell(answer.status >= 502);
      tell(false);
      if ((await answer.json()).app_id !== app_id && !justReloaded()) location.reload();
    } catch {
      tell(true);
    }
  };
  setInterval(look, 1000 * SECONDS);
  document.addEventListener("visibilitychange", look);
  window.addEventListener("online", look);
}
