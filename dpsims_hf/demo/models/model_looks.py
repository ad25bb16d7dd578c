# Copyright 2026 The dpsims_hf authors. Licensed under the Apache License, Version 2.0.
"""Looks that come with a model: names for seeds, in looks.json beside its weights. The file may be a stranger's."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from huggingface_hub.errors import HfHubHTTPError, HFValidationError

from ...configuration_rules import Fields, Integer, Items, Text, shown
from ...pipeline_checkpoint_folder import read_checkpoint_json


LOOKS_FILE = "looks.json"
FORMAT = "dpsims-hf looks"
MAX_LOOKS = 8  # as many as stand beside a drawing
MAX_NAME = 24  # characters; a thumbnail is small
NAME = Text(MAX_NAME, r"\S(?:[^\W_]|[ .,'+-])*", f"a name of up to {MAX_NAME} letters and digits")
RULES = Fields(
    {
        "format": Text(40),
        "weights_sha256": Text(64, "[0-9a-f]{64}", "64 hexadecimal digits"),
        "looks": Items(Fields({"name": NAME, "seed": Integer(0, 2**31 - 1)}, ("name", "seed")), 1, MAX_LOOKS),
        "chosen_by": Text(1000),
    },
    ("format", "weights_sha256", "looks"),
)


@dataclass(frozen=True)
class ModelLook:
    """A name for a seed.

    Args:
        name: "dusk".
        seed: of the noise of the whole image.
    """

    name: str
    seed: int


def looks_file(looks: Sequence[ModelLook], weights_sha256: str, chosen_by: str = "") -> dict[str, Any]:
    """JSON content for `read_looks_file`.

    Args:
        looks: in the order in which the page shows them.
        weights_sha256: of the generator; with other weights the seeds mean other images.
        chosen_by: how they were chosen, for people.
    """
    told = {"chosen_by": chosen_by} if chosen_by else {}
    rows = [{"name": look.name, "seed": look.seed} for look in looks]
    return {"format": FORMAT, "weights_sha256": weights_sha256, **told, "looks": rows}


def read_looks_file(content: Any, weights_sha256: str, name: str = LOOKS_FILE) -> tuple[ModelLook, ...]:
    """Inverse of `looks_file`.

    Args:
        content: what JSON gave.
        weights_sha256: of the generator that is to draw them.
        name: what messages call the file.

    Raises:
        ValueError: anything else, a name or seed that stands twice, or looks of other weights; one line.
    """
    RULES.check(name, content)
    if content["format"] != FORMAT:
        raise ValueError(f"{name}: format {content['format']!r} is unknown: legal is {FORMAT!r}")
    looks = tuple(ModelLook(row["name"], row["seed"]) for row in content["looks"])
    if len({look.name for look in looks}) < len(looks) or len({look.seed for look in looks}) < len(looks):
        raise ValueError(f"{name}: a name or a seed stands twice; remove one of the two")
    if content["weights_sha256"] != weights_sha256:
        raise ValueError(
            f"{name}: its looks were chosen for other weights; choose them again by "
            "python -m dpsims_hf.demo.choose_looks CHECKPOINT"
        )
    return looks


def read_model_looks(name: str, pipe: Any, weights_sha256: str) -> tuple[ModelLook, ...]:
    """The looks of a loaded pipeline; none for a model without the file, and none, with a line in the server's log,
    for one with a wrong file: no model is refused for it.

    Args:
        name: what the line calls the model.
        pipe: it knows the folder or repository that it came from.
        weights_sha256: of its generator.
    """
    source, options = getattr(pipe, "_source", None) or ("", {})
    if not source:
        return ()
    where = {key: value for key, value in options.items() if key != "trust_remote_code"}
    try:
        content = read_checkpoint_json(str(source), LOOKS_FILE, **where)
        return read_looks_file(content, weights_sha256)
    except (OSError, HfHubHTTPError, HFValidationError):  # there is none
        return ()
    except ValueError as error:
        print(shown(f"{name}: no looks are shown: {error}"))
        return ()


def look_of_seed(looks: Sequence[ModelLook], seed: int) -> str:
    """The name of a seed, "" for one without."""
    return next((look.name for look in looks if look.seed == seed), "")


__all__ = ["LOOKS_FILE", "MAX_LOOKS", "ModelLook", "look_of_seed", "looks_file", "read_looks_file", "read_model_looks"]
