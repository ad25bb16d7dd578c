# Copyright 2026 The dpsims_hf authors. Licensed under the Apache License, Version 2.0.
"""What the page says about the loaded model: read from its card and its config, invented nowhere."""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from huggingface_hub import hf_hub_download, try_to_load_from_cache
from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError, OfflineModeIsEnabled

from ..uploads.limits import MAX_CARD_BYTES, megabytes


NO_CARD = (
    "This checkpoint has no model card, so its data, terms and limits are unknown. "
    "Ask its author before you use its images."
)
# Headings of a card that answer: what was it trained on, under which terms, and what can it not do?
TERMS = re.compile(r"\b(data|terms?|licen[cs]e|limits?|limitations?|cannot|can't|bias(es)?|risks?)\b", re.IGNORECASE)
FENCE = re.compile(r" {0,3}(`{3,}|~{3,})(.*)")
LANGUAGE = re.compile(r"[A-Za-z0-9_+-]{1,30}")
ADDRESS = re.compile(r"https?:[^\s<>]{1,2000}>")
MAX_HEADING = 200  # characters of a heading that are looked at
MAX_LICENSE = 80  # characters


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
    """The texts of a loaded pipeline, from the README.md of the folder or repository that it came from.

    Cards are untrusted: whatever one contains, this takes linear time and raises nothing.
    """
    source = str(pipe.config.get("_name_or_path") or "")
    name = Path(source).name or "unsaved model"
    options = getattr(pipe, "_source", None)
    card = _load_card(source, options[1].get("revision") if options else None)
    if card is None:
        return ModelText(name, None, NO_CARD, NO_CARD, NO_CARD)
    head, text = split_front_matter(card)
    text = without_pictures(text).strip()
    license_name = head.get("license_name") or head.get("license")
    summary, terms = _without_tags(first_paragraph(text)), _without_tags(sections_on_terms(text))  # parts of code, too
    return ModelText(name, license_name, summary, terms or NO_CARD, text)


def _load_card(source: str, revision: str | None) -> str | None:
    """The first MAX_CARD_BYTES of a card; None if there is none."""
    try:
        path = _card_path(source, revision)
        if path is None:
            return None
        with path.open("rb") as stream:
            data = stream.read(MAX_CARD_BYTES + 1)
    except (HfHubHTTPError, HFValidationError, LocalEntryNotFoundError, OfflineModeIsEnabled, OSError, ValueError):
        return None
    text = data[:MAX_CARD_BYTES].decode("utf-8", errors="replace").removeprefix("\ufeff")
    if len(data) > MAX_CARD_BYTES:
        text += f"\n\n(The card is longer: {megabytes(MAX_CARD_BYTES)} of it are shown.)\n"
    return text.replace("\r\n", "\n").replace("\r", "\n")


def _card_path(source: str, revision: str | None) -> Path | None:
    if not source:
        return None
    folder = Path(source)
    if folder.is_dir():
        return folder / "README.md" if (folder / "README.md").is_file() else None
    cached = try_to_load_from_cache(source, "README.md", revision=revision)
    return Path(cached if isinstance(cached, str) else hf_hub_download(source, "README.md", revision=revision))


def split_front_matter(card: str) -> tuple[dict[str, str], str]:
    """A card's licence entries and its text.

    The front matter is YAML, but no YAML parser sees it: it can hold what takes one minutes. Only lines "key: value"
    at the left edge are read, and lists of names below a key.

    Args:
        card: README.md.

    Returns:
        Texts by key, for "license" and "license_name"; and what follows the front matter.
    """
    if not card.startswith("---\n"):
        return {}, card
    head, found, text = card[3:].partition("\n---\n")
    if not found:
        head, found, text = (card[3:-4], "---", "") if card.endswith("\n---") and len(card) > 6 else ("", "", card)
    values: dict[str, list[str]] = {}
    key = ""
    for line in head.split("\n"):
        if line[:1] not in (" ", "\t", "-", "#", ""):
            key, _, value = line.partition(":")
            if key in ("license", "license_name"):
                values[key] = [value]
        elif key in values and line.strip().startswith("- "):
            values[key].append(line.strip()[2:])
    plain = {key: [text for part in parts for text in _plain(part)] for key, parts in values.items()}
    return {key: ", ".join(parts)[:MAX_LICENSE] for key, parts in plain.items() if parts}, text


def _plain(value: str) -> list[str]:
    """The names in a YAML value without quotes, brackets and comment."""
    value = value.strip()
    if value[:1] in ("'", '"'):  # what stands behind the closing quote is a comment
        value = value[1:].partition(value[0])[0]
    else:
        value = value.partition(" #")[0]
    parts = (part.strip().strip("'\"").strip() for part in value.strip("[]").split(","))
    return [part for part in parts if part and part[0] not in "&*!|>{"]


def without_pictures(text: str) -> str:
    """A card without pictures: those of its folder do not exist on the page, others would make visitors'
    browsers contact an unknown server. Pictures with an address become links, and HTML becomes text.
    """
    kept, start, close, end = [], 0, -1, -1  # what is found behind `start` is not looked for again
    last = text.rfind(")")
    while (found := text.find("![", start)) >= 0:
        kept.append(text[start:found])
        start = found + 2
        close = close if close >= start else text.find("]", start)
        if close < 0:
            kept.append("[")
            break
        is_local = text[close + 1 : close + 2] == "(" and not text.startswith(("http:", "https:"), close + 2)
        if not is_local or last < close + 2:
            kept.append("[")
            continue
        end = end if end >= close + 2 else text.find(")", close + 2)
        start = end + 1
    kept.append(text[start:])
    *before, rest = "".join(kept).split("[")  # what is left out may have brought a "!" and a "[" together
    return _without_tags("".join(part.rstrip("!") + "[" for part in before) + rest)


def _without_tags(text: str) -> str:
    """`<` as text, but in fences of code, and in `<https://...>`.

    Fences are written anew, at the left edge and unmistakable, so that what is code here is code in every browser.
    """
    lines, fence = [], ""
    for line in text.split("\n"):
        mark = FENCE.match(line) if line[:4].strip(" ") else None
        if fence:
            is_end = mark is not None and mark[1].startswith(fence) and not mark[2].strip()
            lines.append(fence if is_end else line)
            fence = "" if is_end else fence
        elif mark is not None and not (mark[1][0] == "`" and "`" in mark[2]):
            fence = mark[1]
            lines.append(fence + "".join(LANGUAGE.findall(mark[2])[:1]))
        elif "<" in line:
            first, *parts = line.split("<")
            lines.append(first + "".join(("<" if ADDRESS.match(part) else "&lt;") + part for part in parts))
        else:
            lines.append(line)
    return "\n".join([*lines, fence] if fence else lines)


def _heading(line: str) -> tuple[int, str] | None:
    """Level and text of a markdown heading."""
    text = line.lstrip("#")
    level = len(line) - len(text)
    if not 1 <= level <= 6 or not text[:1].isspace():
        return None
    return level, text.strip().rstrip("#").rstrip()[:MAX_HEADING]


def _blocks(text: str) -> list[tuple[int, str, list[str]]]:
    """Split markdown into (level, heading, lines); `#` inside a code fence is no heading."""
    blocks: list[tuple[int, str, list[str]]] = [(0, "", [])]
    fenced = False
    for line in text.split("\n"):
        fenced ^= line.lstrip().startswith("```")
        heading = None if fenced else _heading(line)
        if heading:
            blocks.append((*heading, []))
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
    """The sections (with their sub-sections) whose headings mention data, terms or limits."""
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
    paper = getattr(generator.config, "paper", None)
    facts = [text.name, *([paper[0].upper()] if paper else [])]
    facts += [f"{count} parameters"] if parameters else []
    where = f"runs on {generator.device}" if parameters else "runs by onnxruntime"
    facts += [f"{pipe.processor.num_labels} classes", f"trained at {width} × {height}", where]
    if getattr(generator.config, "use_instance_offsets", False):
        facts.append("one object per connected region")
    return [*facts, f"licence {text.license}"] if text.license else facts
