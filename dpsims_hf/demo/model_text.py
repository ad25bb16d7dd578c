# Copyright 2026 The dpsims_hf authors. Licensed under the Apache License, Version 2.0.
"""What the page says about the loaded model: read from its card and its config, invented nowhere."""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from huggingface_hub import ModelCard
from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError, OfflineModeIsEnabled

from ..model_card import PAPERS


NO_CARD = (
    "This checkpoint brings no model card: nothing is known here about its data, its terms or its limits. "
    "Ask whoever made it before you use its images."
)
# Headings of a card that answer: what was it trained on, under which terms, and what can it not do?
TERMS = re.compile(r"\b(data|terms?|licen[cs]e|limit\w*|cannot|can't|bias\w*|risks?)\b", re.IGNORECASE)
HEADING = re.compile(r"^(#{1,6})\s+(.*?)\s*#*$")


@dataclass(frozen=True)
class ModelText:
    """Texts for the page.

    Args:
        name: of the checkpoint.
        license: from the card's front matter, or None.
        summary: markdown, the card's first paragraph.
        terms: markdown, the card's sections on data, terms and limits.
        card: markdown, the whole card without front matter and pictures.
    """

    name: str
    license: str | None
    summary: str
    terms: str
    card: str


def read_model_text(pipe: Any) -> ModelText:
    """The texts of a loaded pipeline, from the README.md of the folder or repository that it came from."""
    source = str(pipe.config.get("_name_or_path") or "")
    name = Path(source).name or "unsaved model"
    card = _load_card(source)
    if card is None:
        return ModelText(name, None, NO_CARD, NO_CARD, NO_CARD)
    text = _without_pictures(card.text).strip()
    license_name = card.data.get("license_name") or card.data.get("license")
    return ModelText(name, license_name, first_paragraph(text), sections_on_terms(text) or NO_CARD, text)


def _load_card(source: str) -> ModelCard | None:
    folder = Path(source)
    if source and folder.is_dir():
        return ModelCard.load(folder / "README.md") if (folder / "README.md").is_file() else None
    try:
        return ModelCard.load(source) if source else None
    except (HfHubHTTPError, HFValidationError, LocalEntryNotFoundError, OfflineModeIsEnabled, OSError):
        return None


def _without_pictures(text: str) -> str:
    """Relative pictures of a card do not exist on the page."""
    return re.sub(r"!\[[^\]]*\]\((?!https?:)[^)]*\)", "", text)


def _blocks(text: str) -> list[tuple[int, str, list[str]]]:
    """Split markdown into (level, heading, lines); `#` inside a code fence is no heading."""
    blocks: list[tuple[int, str, list[str]]] = [(0, "", [])]
    fenced = False
    for line in text.splitlines():
        fenced ^= line.lstrip().startswith("```")
        heading = None if fenced else HEADING.match(line)
        if heading:
            blocks.append((len(heading[1]), heading[2], []))
        else:
            blocks[-1][2].append(line)
    return blocks


def first_paragraph(text: str) -> str:
    """The first paragraph of prose in a card."""
    for _, _, lines in _blocks(text):
        for paragraph in "\n".join(lines).split("\n\n"):
            if paragraph.strip() and paragraph.strip()[0] not in "|<`![":
                return paragraph.strip()
    return ""


def sections_on_terms(text: str) -> str:
    """The sections (with their sub-sections) whose headings speak of data, terms or limits."""
    kept: list[str] = []
    open_level = 0  # level of the kept section that we are inside of, 0 if none
    for level, heading, lines in _blocks(text):
        if open_level and level > open_level:
            kept += ["#### " + heading, *lines]
            continue
        open_level = level if level > 1 and TERMS.search(heading) else 0
        if open_level:
            kept += ["### " + heading, *lines]
    return "\n".join(kept).strip()


def model_facts(pipe: Any, text: ModelText) -> list[str]:
    """Short facts for the head of the page."""
    generator = pipe.generator_model
    height, width = generator.config.image_size
    parameters = sum(parameter.numel() for parameter in generator.parameters())
    count = f"{parameters / 1e6:.1f} M" if parameters >= 1e6 else f"{parameters / 1e3:.0f} k"
    family = PAPERS.get(generator.config.model_type.split("-")[0])
    facts = [text.name, *([family[0].upper()] if family else [])]
    facts += [f"{count} parameters", f"{pipe.processor.num_labels} classes"]
    facts += [f"trained at {width} × {height}", f"runs on {generator.device}"]
    if getattr(generator.config, "use_instance_offsets", False):
        facts.append("one object per connected region")
    return [*facts, f"licence {text.license}"] if text.license else facts
