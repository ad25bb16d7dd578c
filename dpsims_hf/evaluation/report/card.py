# Copyright 2026 The dpsims_hf authors. Licensed under the Apache License, Version 2.0.
"""Results on the model card: `model-index` in the front matter, and a table between two marker comments."""

import re
from pathlib import Path
from typing import Any

from huggingface_hub import EvalResult, ModelCard

from ...configuration_rules import inert
from ...hub.card import CARD_FIELDS
from .writing import facts_line, headline_rows, markdown_table


START, END = "<!-- evaluation: start -->", "<!-- evaluation: end -->"
HEADING = re.compile(r"^## Results[ \t]*\n", re.MULTILINE)


def write_card(folder: str | Path, results: dict[str, Any]) -> Path:
    """Write the results of one evaluation into the card of a checkpoint folder; twice is the same as once.

    The table takes the place of an earlier one, else stands first under "## Results", else at the end. In the front
    matter a value replaces the one of the same protocol, name, dataset and split, and joins the others.

    Args:
        folder: Checkpoint folder with a README.md.
        results: Of `evaluate_model`.

    Returns:
        The card's path.

    Raises:
        ValueError: the folder has no readable card.
    """
    path = Path(folder) / "README.md"
    if not path.is_file():
        raise ValueError(f"{path} is missing: --write_card fills the card of a local checkpoint folder")
    try:
        card = ModelCard.load(path, ignore_metadata_errors=False)
    except Exception as error:  # yaml's and huggingface_hub's errors have no common base
        raise ValueError(f"{path}: its front matter cannot be read ({' '.join(str(error).split())})") from None
    new = evaluation_results(results)
    replaced = {_identity(result) for result in new}
    kept = [result for result in card.data.eval_results or [] if _identity(result) not in replaced]
    card.data.eval_results = kept + new
    card.data.model_name = card.data.model_name or Path(folder).resolve().name
    card.text = insert_section(card.text, section(results))
    path.write_text(str(card), encoding="utf-8")
    return path


def evaluation_results(results: dict[str, Any]) -> list[EvalResult]:
    """The headline values for `model-index`. The metric's type is the protocol, so that none passes for another."""
    data, (height, width) = results["dataset"], results["image_size"]
    shared = {"num_images": data["num_images"], "image_size": f"{height}x{width}", "seeds": results["seeds"]}
    found = []
    for row in headline_rows(results):
        extra = {name: row[name] for name in ("std", "real_photos", "random_weights") if row[name] is not None}
        found.append(
            EvalResult(
                task_type="image-to-image",
                task_name="Semantic image synthesis",
                dataset_type=data["repository"] or re.sub(r"[^\w.-]+", "-", data["name"]).strip("-"),
                dataset_name=data["name"],
                dataset_split=data["split"],
                metric_type=row["protocol"],
                metric_name=f"{row['title']} ({row['protocol']})",
                metric_value=row["mean"],
                metric_args=shared | extra,
            )
        )
    return found


def section(results: dict[str, Any]) -> str:
    """The text between the markers: the values, what they share, and each protocol in one line."""
    photos = results["photos"][0].upper() + results["photos"][1:]
    lines = [
        markdown_table(results),
        "",
        f"Measured on {inert(facts_line(results))}. {photos}; {results['label_maps']}.",
        "",
    ]
    return "\n".join(lines + [_protocol_line(name, result["facts"]) for name, result in results["protocols"].items()])


def _protocol_line(name: str, facts: dict[str, Any]) -> str:
    network = facts.get("features") or facts.get("segmenter")
    parts = [] if network is None else [f"{network} (weights SHA-256 {facts['weights_sha256'][:16]}...)"]
    parts += [f"resize: {facts['resize']}", facts["images"], facts["void"], f"source: {facts['source']}"]
    return f"- `{name}`: {inert('; '.join(parts))}."


def insert_section(text: str, content: str) -> str:
    """Put `content` between the markers of a card's text, adding them where there are none."""
    block = f"{START}\n{content}\n{END}"
    start, end = text.find(START), text.find(END)
    if 0 <= start < end:
        return text[:start] + block + text[end + len(END) :]
    heading = HEADING.search(text)
    if heading:
        rest = text[heading.end() :].lstrip("\n").removeprefix(CARD_FIELDS["results"]).lstrip("\n")
        return f"{text[: heading.end()]}\n{block}\n\n{rest}"
    return f"{text.rstrip()}\n\n## Evaluation\n\n{block}\n"


def _identity(result: EvalResult) -> tuple[Any, ...]:
    return (result.dataset_type, result.dataset_split, result.metric_type, result.metric_name)


__all__ = ["evaluation_results", "insert_section", "section", "write_card"]
