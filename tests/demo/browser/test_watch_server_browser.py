# Copyright 2026 The dpsims_hf authors. Licensed under the Apache License, Version 2.0.
"""How often an open page asks whether its server is there: a page that nobody looks at lets a Space sleep."""

import pytest
from selenium import webdriver

from dpsims_hf.demo.assets import script


pytestmark = pytest.mark.browser

# The script in a page of its own, whose clock is moved by hand.
CLOCK = """
const done = arguments[arguments.length - 1];
let [now, hidden, timers] = [0, false, []];
const [asked, heard] = [[], {}];
const listen = (kind, run) => (heard[kind] ??= []).push(run);
const settle = async () => { for (let i = 0; i < 30; i++) await Promise.resolve(); };
const happen = async (kind) => { for (const run of heard[kind] ?? []) run(); await settle(); };
const pass = async (seconds) => {
  const end = now + 1000 * seconds;
  for (;;) {
    const next = timers.sort((a, b) => a.at - b.at)[0];
    if (!next || next.at > end) break;
    timers.shift();
    now = next.at;
    next.run();
    await settle();
  }
  now = end;
};
const fakes = {
  window: { gradio_config: { app_id: "here" }, addEventListener: listen },
  document: {
    get hidden() { return hidden; },
    addEventListener: listen,
    createElement: () => ({ setAttribute() {} }),
    body: { append() {} },
  },
  fetch: async () => { asked.push(now / 1000); return { ok: true, json: async () => ({ app_id: "here" }) }; },
  setTimeout: (run, wait) => { const timer = { run, at: now + wait }; timers.push(timer); return timer; },
  clearTimeout: (timer) => { timers = timers.filter((each) => each !== timer); },
  setInterval: (run, wait) => { const again = () => { run(); fakes.setTimeout(again, wait); }; fakes.setTimeout(again, wait); },
  Date: { now: () => now },
  AbortSignal: { timeout: () => null },
};
new Function(...Object.keys(fakes), `(SCRIPT)()`)(...Object.values(fakes));
const count = (from, to) => asked.filter((time) => time > from && time <= to).length;
(async () => { STEPS })().then(done, (error) => done(String(error)));
"""  # noqa: E501


def run(driver: webdriver.Chrome, steps: str) -> object:
    """What the steps return."""
    driver.get("about:blank")
    code = script("watch_server").replace("\\", "\\\\").replace("`", "\\`").replace("${", "\\${")
    return driver.execute_async_script(CLOCK.replace("SCRIPT", code).replace("STEPS", steps))


def test_a_page_that_is_left_open_asks_less_and_less(driver):
    steps = "await pass(7200); return [count(0, 60), count(300, 900), count(3600, 7200)]"
    assert run(driver, steps) == [20, 10, 0]


@pytest.mark.parametrize("kind", ["pointerdown", "keydown", "focus", "visibilitychange", "online"])
def test_who_comes_back_has_the_server_asked_at_once(driver, kind):
    steps = f"await pass(5000); const before = asked.length; await happen('{kind}');"
    steps += "const at_once = asked.length - before; await pass(30); return [at_once, asked.length - before]"
    assert run(driver, steps) == [1, 11]


def test_who_works_has_it_asked_as_often_as_before_and_not_more(driver):
    steps = "for (let i = 0; i < 600; i++) { await happen('pointermove'); await pass(1); } return count(0, 600)"
    assert run(driver, steps) == 200


def test_a_hidden_page_asks_nothing(driver):
    steps = "hidden = true; await happen('visibilitychange'); await pass(600); const quiet = asked.length;"
    steps += "hidden = false; await happen('visibilitychange'); return [quiet, asked.length]"
    assert run(driver, steps) == [0, 1]
