# Copyright 2026 The dpsims_hf authors. Licensed under the Apache License, Version 2.0.
"""Programs that make the image on the page again, as texts: by pipeline, Auto classes, server, settings file."""

import json
import shlex
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ...pipeline_noise import RESAMPLE_SEED_OFFSET
from .found_noise import noise_content
from .scenes import MAX_SEED, Reroll, Scene, Variant
from .settings import image_name


API_ROUTE = "/gradio_api"  # of gradio's server


@dataclass(frozen=True)
class Example:
    """What the snippets describe.

    Args:
        model: the name by which its weights are found.
        scene: the label map.
        variant: the image.
        server: address of the page, or the id of its Space.
        page_model: the name that the server wants; None for its default.
        dtype: number type that the page computes in.
    """

    model: str
    scene: Scene
    variant: Variant
    server: str
    page_model: str | None = None
    dtype: str = "float32"

    @property
    def image(self) -> str:
        """File name of the image."""
        return image_name(self.scene, self.variant)

    @property
    def label_map(self) -> str:
        """File name of the downloaded label map."""
        return f"{self.scene.name}_labels.png"

    @property
    def settings(self) -> str:
        """File name of the downloaded settings."""
        return f"{Path(self.image).stem}.json"

    @property
    def size(self) -> str:
        """The pipeline's and the processor's `size`, as Python."""
        height, width = self.scene.label_map.shape
        return f'{{"height": {height}, "width": {width}}}'


def literal(value: Any) -> str:
    """A string, number, None or list of them as Python, strings in double quotes; file names can hold anything."""
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False)
    return f"[{', '.join(map(literal, value))}]" if isinstance(value, list | tuple) else repr(value)


def pipeline_snippet(example: Example) -> str:
    """The image by `SemanticImageSynthesisPipeline`."""
    rerolls, noise = example.variant.rerolls, example.variant.noise
    if len(rerolls) > 1 or (rerolls and noise is not None):  # the pipeline has words for one re-roll per call
        return recreate_snippet(example)
    if noise is not None:
        return _look_snippet(example)
    arguments = [literal(example.label_map), f"seed={example.variant.seed}", "num_images_per_label_map=1"]
    arguments += [
        f"size={example.size}",
        f"autocast_dtype=torch.{example.dtype}",
        *(_resample_words(rerolls[0]) if rerolls else []),
    ]
    call = "".join(f"    {argument},\n" for argument in arguments)
    return (
        "import torch\n\n"
        "from dpsims_hf import SemanticImageSynthesisPipeline\n\n"
        f"pipe = SemanticImageSynthesisPipeline.from_pretrained({literal(example.model)})\n"
        f"image = pipe(\n{call}).images[0]\n"
        f"image.save({literal(example.image)})\n"
    )


def _look_snippet(example: Example) -> str:
    """The pipeline with the noise of a look, which the settings file holds."""
    labels = example.variant.noise.labels
    regions = [
        f"names = {literal(example.scene.labels)}  # of the classes, by id",
        'rows = np.array([look["labels"].index(name) + 1 if name in look["labels"] else 0 for name in names])',
        f"regions = rows[np.asarray(Image.open({literal(example.label_map)}))]  # which vector each pixel obeys",
    ]
    arguments = [
        literal(example.label_map),
        f"noise=torch.from_numpy({'noise' if labels else 'noise[:, 0]'}.copy())",
        *(["resample_regions=regions"] if labels else []),
        f"size={example.size}",
        f"autocast_dtype=torch.{example.dtype}",
    ]
    lines = [
        "import base64",
        "import json",
        "from pathlib import Path",
        "",
        "import numpy as np",
        "import torch",
        *(["from PIL import Image"] if labels else []),
        "",
        "from dpsims_hf import SemanticImageSynthesisPipeline",
        "",
        *_found_lines(example),
        *(regions if labels else []),
        f"pipe = SemanticImageSynthesisPipeline.from_pretrained({literal(example.model)})",
        "image = pipe(",
        *(f"    {argument}," for argument in arguments),
        ").images[0]",
        f"image.save({literal(example.image)})",
    ]
    return "\n".join(lines) + "\n"


def _resample_words(reroll: Reroll) -> list[str]:
    chosen = f"resample_labels=[{literal(reroll.label)}]" if reroll.label else f"resample_points={reroll.point}"
    return [chosen, f"resample_seed={reroll.seed}"]


def auto_model_snippet(example: Example) -> str:
    """The image by `AutoModel` and `AutoImageProcessor`, every step in sight."""
    rerolls, found = example.variant.rerolls, example.variant.noise
    points = any(reroll.point for reroll in rerolls)
    lines = [
        *(["import base64", "import json", "from pathlib import Path", "", "import numpy as np"] if found else []),
        "import torch",
        "from transformers import AutoImageProcessor, AutoModel",
        "",
        "import dpsims_hf  # registers the models; without it, pass trust_remote_code=True",
        *(["from dpsims_hf.pipeline_noise import connected_component"] if points else []),
        "",
        f"generator = AutoModel.from_pretrained({literal(example.model)})",
        f"generator = generator.for_inference({literal(example.dtype)})  # faster; plain: the same within 1e-4",
        f"processor = AutoImageProcessor.from_pretrained({literal(example.model)})",
        f'label_map = processor({literal(example.label_map)}, size={example.size})["label_map"]',
        *(_noises(example) if rerolls or found else _one_noise(example.variant)),
        f"processor.postprocess(images)[0].save({literal(example.image)})",
    ]
    return "\n".join(lines) + "\n"


def _one_noise(variant: Variant) -> list[str]:
    return [
        f"noise = generator.sample_noise(1, generator=torch.Generator().manual_seed({variant.seed}))",
        "with torch.no_grad():",
        "    images = generator(label_map, noise=noise).images",
    ]


def _noises(example: Example) -> list[str]:
    """Which pixels obey which noise, and the noises."""
    found, rerolls = example.variant.noise, example.variant.rerolls
    index = example.scene.labels.index
    lines = ["regions = torch.zeros_like(label_map)  # which noise each pixel obeys"]
    for number, label in enumerate(found.labels if found else (), start=1):
        if label in example.scene.labels:
            lines.append(f"regions[label_map == {index(label)}] = {number}  # {_comment(label)}")
    for number, reroll in enumerate(rerolls, start=1 + len(found.labels if found else ())):
        if reroll.point is not None:
            lines.append(f"regions[0, connected_component(label_map[0], {reroll.point})] = {number}")
        else:
            lines.append(f"regions[label_map == {index(reroll.label)}] = {number}  # {_comment(reroll.label)}")
    seeds = [*([] if found else [example.variant.seed]), *(reroll.seed for reroll in rerolls)]
    new = "generator.sample_noise(1, generator=rng) for rng in rngs"
    drawn = [f"rngs = [torch.Generator().manual_seed(seed) for seed in {seeds}]"] if seeds else []
    if found is None:
        drawn.append(f"noise = torch.stack([{new}], dim=1)")
    else:
        drawn += [*_found_lines(example), "noise = torch.from_numpy(noise.copy())"]
        drawn += [f"new = torch.stack([{new}], dim=1)", "noise = torch.cat([noise, new], dim=1)"] if seeds else []
    return [
        *lines,
        *drawn,
        "with torch.no_grad():",
        "    images = generator(label_map, noise=noise, noise_regions=regions).images",
    ]


def _found_lines(example: Example) -> list[str]:
    """Sets `noise`, (1, vectors, noise_dim), from the settings file."""
    return [
        f'look = json.loads(Path({literal(example.settings)}).read_text())["images"][0]["look"]',
        'noise = np.frombuffer(base64.b64decode(look["noise"]), "<f4")'
        f".reshape(1, {1 + len(example.variant.noise.labels)}, -1)",
    ]


def _comment(text: str) -> str:
    return " ".join(text.split())


def client_snippet(example: Example) -> str:
    """The image from a running server, by `gradio_client`; without re-rolls that /generate has no words for."""
    settings, example = example.settings, served(example)
    words = {name: literal(value) for name, value in _request(example).items() if name != "look"}
    imports, look = "import shutil\n\n", ""
    if example.variant.noise is not None:
        imports, words["look"] = "import json\nimport shutil\nfrom pathlib import Path\n\n", "look"
        look = f'look = json.loads(Path({literal(settings)}).read_text())["images"][0]["look"]\n'
    arguments = "".join(f"    {name}={value},\n" for name, value in words.items())
    return (
        f"{imports}from gradio_client import Client, handle_file\n\n{look}"
        f"client = Client({literal(example.server)})\n"
        "images, settings = client.predict(\n"
        f"    label_map=handle_file({literal(example.label_map)}),\n"
        f"{arguments}"
        '    api_name="/generate",\n'
        ")\n"
        f"shutil.copy(images[0], {literal(example.image)})\n"
    )


def _request(example: Example) -> dict[str, Any]:
    """Parameters of /generate besides the file."""
    request: dict[str, Any] = {"seed": example.variant.seed}
    if example.variant.rerolls:
        request["resample_labels"] = [reroll.label for reroll in example.variant.rerolls]
    if example.variant.noise is not None:
        request["look"] = noise_content(example.variant.noise)
    return request if example.page_model is None else request | {"model": example.page_model}


def served(example: Example) -> Example:
    """What /generate can draw: the image, or that of its seed or look alone.

    The endpoint has words for re-rolls of whole classes by the pipeline's default seed, and for no others.
    """
    variant = example.variant
    default = resample_seed(variant.seed)
    if all(reroll.label is not None and reroll.seed == default for reroll in variant.rerolls):
        return example
    return replace(example, variant=replace(variant, rerolls=()))


def resample_seed(seed: int) -> int:
    """The seed of new noise that the pipeline takes for an image of `seed`; after MAX_SEED comes 0."""
    return (seed + RESAMPLE_SEED_OFFSET) % (MAX_SEED + 1)


def recreate_snippet(example: Example) -> str:
    """The image from the downloaded settings."""
    return (
        "from dpsims_hf.demo.image_settings import recreate\n\n"
        f"image = recreate({literal(example.settings)})[0]\n"
        f"image.save({literal(example.image)})\n"
    )


def recreate_command(example: Example) -> str:
    """The same, without a program."""
    return f"python -m dpsims_hf.demo.image_settings {shlex.quote(example.settings)}\n"


def curl_snippet(example: Example, address: str) -> str:
    """The image from a running server, in a shell.

    Args:
        example: what to draw.
        address: of the server, http..., also on a Space.
    """
    example = served(example)
    before, after = '{"label_map": {"path": "', '", "meta": {"_type": "gradio.FileData"}}, '
    after += json.dumps(_request(example), ensure_ascii=False)[1:]
    return (
        f"SERVER={shlex.quote(address)}{API_ROUTE}\n"
        f"FILE=$(curl -s -F files=@{shlex.quote(example.label_map)} $SERVER/upload | tr -d '[]\"')\n"
        "EVENT=$(curl -s $SERVER/call/v2/generate -H 'Content-Type: application/json' \\\n"
        f"  -d {shlex.quote(before)}$FILE{shlex.quote(after)} | cut -d '\"' -f 4)\n"
        "curl -s -N $SERVER/call/v2/generate/$EVENT | grep -o 'http[^\"]*[.]png' | head -n 1 \\\n"
        f"  | xargs curl -s -o {shlex.quote(example.image)}\n"
    )


__all__ = [
    "API_ROUTE",
    "Example",
    "auto_model_snippet",
    "client_snippet",
    "curl_snippet",
    "literal",
    "pipeline_snippet",
    "recreate_command",
    "recreate_snippet",
    "resample_seed",
    "served",
]
