# Copyright 2026 The dpsims_hf authors. Licensed under the Apache License, Version 2.0.
"""From the runs' numbers to results.json and a table in Markdown."""

import json
from statistics import mean
from typing import Any

from .runs import Plan, Run, is_finished
from .tables import SHOWN, Table


def collect(table: Table, plan: Plan, runs: list[Run]) -> dict[str, Any]:
    """All numbers of the finished runs.

    Returns:
        rows: name -> {values: metric -> {seed: value}, effects: metric -> {seed: row minus reference}, ...};
        real_photos, random_weights: metric -> value, the two ends of the scale.
    """
    result: dict[str, Any] = {"table": table.title, "recipes": plan.recipes, "steps": plan.steps}
    result |= {"planned": len(runs), "finished": 0, "real_photos": {}, "random_weights": {}, "rows": {}}
    for run in runs:
        row = result["rows"].setdefault(run.row.name, {"title": run.row.title, "values": {}, "effects": {}})
        if not is_finished(run):
            continue
        result["finished"] += 1
        for entry in json.loads(run.results.read_text())["protocols"].values():
            for metric in SHOWN.keys() & entry["values"].keys():
                row["values"].setdefault(metric, {})[str(run.seed)] = entry["values"][metric]["mean"]
                for end in ("real_photos", "random_weights"):
                    if metric in entry.get(end, {}):
                        result[end].setdefault(metric, entry[end][metric])
    reference = result["rows"][table.rows[0].name]["values"]
    for row in table.rows[1:]:
        entry = result["rows"][row.name]
        for metric, by_seed in entry["values"].items():
            both = by_seed.keys() & reference.get(metric, {}).keys()
            entry["effects"][metric] = {seed: by_seed[seed] - reference[metric][seed] for seed in sorted(both)}
        entry["paper"] = {name: {"row": value, "reference": other} for name, value, other in row.paper}
        entry["place"], entry["note"] = row.place, row.note
        entry["same_sign"] = {name: same_sign(entry, name) for name, _, _ in row.paper}
    return result


def same_sign(entry: dict[str, Any], metric: str) -> str:
    """ "yes" or "no", "seeds differ" where they do, "" where nothing was measured."""
    effects = list(entry["effects"].get(metric, {}).values())
    if not effects:
        return ""
    paper = entry["paper"][metric]["row"] - entry["paper"][metric]["reference"]
    agree = {effect * paper > 0 for effect in effects}
    return "seeds differ" if len(agree) == 2 else "yes" if agree == {True} else "no"


def render(result: dict[str, Any]) -> str:
    """The table in Markdown: a block of rows for each metric."""
    lines = [f"# {result['table']}", ""]
    lines += [f"`{result['recipes']}`, {result['steps']} steps each; {result['finished']} of {result['planned']} runs"]
    lines += [
        "are finished. Effects are row minus first row, seed by seed; the paper's are of its own networks and sets."
    ]
    for metric, (title, _) in SHOWN.items():
        if not any(metric in row["values"] for row in result["rows"].values()):
            continue
        lines += [
            "",
            f"## {title}",
            "",
            "| | mean | by seed | effect | paper's effect | same sign |",
            "|---|---|---|---|---|---|",
        ]
        for row in result["rows"].values():
            lines.append(_line(row, metric))
        for end, words in (("real_photos", "real photos"), ("random_weights", "random weights")):
            if metric in result[end]:
                lines.append(f"| *{words}* | {_number(result[end][metric])} | | | | |")
    notes = [f"- {row['title']}: {row['note']}." for row in result["rows"].values() if row.get("note")]
    return "\n".join([*lines, *(["", *notes] if notes else [])]) + "\n"


def _line(row: dict[str, Any], metric: str) -> str:
    values, effects = row["values"].get(metric, {}), row["effects"].get(metric, {})
    paper = row.get("paper", {}).get(metric)
    theirs = f"{paper['row'] - paper['reference']:+.1f} ({row['place']})" if paper else ""
    cells = [
        row["title"],
        _number(mean(values.values())) if values else "",
        ", ".join(map(_number, values.values())),
        f"{mean(effects.values()):+.4g}" if effects else "",
        theirs,
        row.get("same_sign", {}).get(metric, ""),
    ]
    return f"| {' | '.join(cells)} |"


def _number(value: float) -> str:
    return f"{value:.4g}"


def write(table: Table, plan: Plan, runs: list[Run]) -> dict[str, Any]:
    """results.json and table.md of what is finished; the numbers come back."""
    result = collect(table, plan, runs)
    plan.output_dir.mkdir(parents=True, exist_ok=True)
    (plan.output_dir / "results.json").write_text(json.dumps(result, indent=1) + "\n")
    (plan.output_dir / "table.md").write_text(render(result))
    return result
