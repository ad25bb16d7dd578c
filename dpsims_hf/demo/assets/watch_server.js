() => {
  // A server that went away is told at once, and a new one gets what this browser tab kept: without a reload it would
  // know neither the model nor the look, and draw with those that the page opens with.
  const { root = "", api_prefix = "", app_id } = window.gradio_config ?? {};
  const SECOND = 1000;
  // [seconds since the visitor last did something, seconds between two looks]: a page that is left open must not keep
  // a Space awake for ever.
  const PACE = [
    [120, 3],
    [1800, 60],
  ];
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
    if (Date.now() - last < 60 * SECOND) return true;
    sessionStorage.setItem("dpsims-reloaded", Date.now());
    return false;
  };
  let active = Date.now();
  let timer = 0;
  let waiting = false; // for an answer
  const pause = () => PACE.find(([idle]) => Date.now() - active < idle * SECOND)?.[1];
  const look = async () => {
    clearTimeout(timer);
    if (document.hidden || waiting) return;
    waiting = true;
    try {
      const answer = await fetch(`${root}${api_prefix}/app_id`, { cache: "no-store", signal: AbortSignal.timeout(10 * SECOND) });
      if (!answer.ok) tell(answer.status >= 502);
      else {
        tell(false);
        if ((await answer.json()).app_id !== app_id && !justReloaded()) location.reload();
      }
    } catch {
      tell(true);
    }
    waiting = false;
    clearTimeout(timer);
    if (pause()) timer = setTimeout(look, pause() * SECOND);
  };
  // Who comes back is told at once, before anything is asked of the server.
  const wake = () => {
    const wasSlow = pause() !== PACE[0][1];
    active = Date.now();
    if (wasSlow) look();
  };
  for (const kind of ["pointerdown", "pointermove", "keydown", "wheel", "touchstart"]) {
    window.addEventListener(kind, wake, { capture: true, passive: true });
  }
  const back = () => {
    active = Date.now();
    look();
  };
  document.addEventListener("visibilitychange", back);
  window.addEventListener("focus", back);
  window.addEventListener("online", back);
  timer = setTimeout(look, PACE[0][1] * SECOND);
}
