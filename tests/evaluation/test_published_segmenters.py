# Copyright 2026 The dpsims_hf authors. Licensed under the Apache License, Version 2.0.
"""The papers' segmenters from files of the original layout: parity on random weights, rules, refusals.

The references here go by the names of the checkpoints' tensors alone and share no code with the networks.
"""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from dpsims_hf.data.specs import load_label_preset
from dpsims_hf.evaluation.build import build_measures, choose_protocols
from dpsims_hf.evaluation.segmenters import PUBLISHED, PublishedSegmenter
from dpsims_hf.evaluation.segmenters.published_networks import DRND105, DeepLabV2, UperNet101


CLASSES = {"upernet101": 150, "drn_d_105": 19, "deeplab_v2": 182}
State = dict[str, torch.Tensor]


def randomised(network: nn.Module) -> nn.Module:
    """Statistics and scales off their defaults, so that none can be left out unseen; values stay near 1."""
    rng = torch.Generator().manual_seed(0)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            for tensor, low in ((module.weight, 0.5), (module.running_var, 0.5), (module.bias, -0.5)):
                tensor.data.uniform_(low, low + 1, generator=rng)
            module.running_mean.uniform_(-0.5, 0.5, generator=rng)
        elif isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
            fan = module.weight[0].numel() if isinstance(module, nn.Conv2d) else 16
            module.weight.data.normal_(0, fan**-0.5, generator=rng)
    return network.eval()


@pytest.fixture(scope="module", params=list(CLASSES))
def case(request: pytest.FixtureRequest) -> tuple[str, nn.Module]:
    return request.param, randomised(PUBLISHED[request.param].network(CLASSES[request.param]))


# -- the papers' figures, tensor by tensor ----------------------------------------------------------------------------


def conv(state: State, hidden: torch.Tensor, name: str, stride: int = 1, dilation: int = 1) -> torch.Tensor:
    weight = state[f"{name}.weight"]
    padding = dilation * (weight.shape[-1] // 2)
    return F.conv2d(hidden, weight, state.get(f"{name}.bias"), stride, padding, dilation)


def norm(state: State, hidden: torch.Tensor, name: str) -> torch.Tensor:
    mean, var, scale, shift = (
        state[f"{name}.{part}"][:, None, None] for part in ("running_mean", "running_var", "weight", "bias")
    )
    return (hidden - mean) / (var + 1e-5).sqrt() * scale + shift


def unit(state: State, hidden: torch.Tensor, name: str, stride: int = 1, dilation: int = 1) -> torch.Tensor:
    return norm(state, conv(state, hidden, f"{name}.0", stride, dilation), f"{name}.1").relu()


def stage(state: State, hidden: torch.Tensor, name: str, stride: int, dilation: int = 1) -> torch.Tensor:
    block = 0
    while f"{name}.{block}.conv1.weight" in state:
        part, step = f"{name}.{block}", stride if block == 0 else 1
        inner = norm(state, conv(state, hidden, f"{part}.conv1"), f"{part}.bn1").relu()
        inner = norm(state, conv(state, inner, f"{part}.conv2", step, dilation), f"{part}.bn2").relu()
        inner = norm(state, conv(state, inner, f"{part}.conv3"), f"{part}.bn3")
        if f"{part}.downsample.0.weight" in state:
            hidden = norm(state, conv(state, hidden, f"{part}.downsample.0", step), f"{part}.downsample.1")
        hidden, block = (inner + hidden).relu(), block + 1
    return hidden


def enlarged(hidden: torch.Tensor, like: torch.Tensor) -> torch.Tensor:
    return F.interpolate(hidden, like.shape[-2:], mode="bilinear", align_corners=False)


def upernet(state: State, pixels: torch.Tensor) -> torch.Tensor:
    hidden = pixels
    for number in (1, 2, 3):
        hidden = conv(state, hidden, f"encoder.conv{number}", 2 if number == 1 else 1)
        hidden = norm(state, hidden, f"encoder.bn{number}").relu()
    hidden = F.max_pool2d(hidden, 3, 2, 1)
    c2 = stage(state, hidden, "encoder.layer1", 1)
    c3 = stage(state, c2, "encoder.layer2", 2)
    c4 = stage(state, c3, "encoder.layer3", 2)
    c5 = stage(state, c4, "encoder.layer4", 2)
    parts = [c5]
    for index, cells in enumerate((1, 2, 3, 6)):
        parts.append(unit(state, enlarged(F.adaptive_avg_pool2d(c5, cells), c5), f"decoder.ppm_conv.{index}"))
    p5 = unit(state, torch.cat(parts, 1), "decoder.ppm_last_conv")
    p4 = unit(state, c4, "decoder.fpn_in.2")
    p4 = p4 + enlarged(p5, p4)
    p3 = unit(state, c3, "decoder.fpn_in.1")
    p3 = p3 + enlarged(p4, p3)
    p2 = unit(state, c2, "decoder.fpn_in.0")
    p2 = p2 + enlarged(p3, p2)
    out = [unit(state, level, f"decoder.fpn_out.{index}.0") for index, level in enumerate((p2, p3, p4))]
    joined = torch.cat([enlarged(level, p2) for level in (*out, p5)], 1)
    return conv(state, unit(state, joined, "decoder.conv_last.0"), "decoder.conv_last.1")


def drn(state: State, pixels: torch.Tensor) -> torch.Tensor:
    hidden = unit(state, unit(state, unit(state, pixels, "base.0"), "base.1"), "base.2", 2)
    hidden = stage(state, stage(state, hidden, "base.3", 2), "base.4", 2)
    hidden = stage(state, stage(state, hidden, "base.5", 1, 2), "base.6", 1, 4)
    hidden = unit(state, unit(state, hidden, "base.7", 1, 2), "base.8")
    return F.conv_transpose2d(conv(state, hidden, "seg"), state["up.weight"], None, 8, 4, groups=19)


def deeplab(state: State, pixels: torch.Tensor) -> torch.Tensor:
    def named(hidden: torch.Tensor, name: str, stride: int = 1, dilation: int = 1) -> torch.Tensor:
        return norm(state, conv(state, hidden, f"{name}.conv", stride, dilation), f"{name}.bn")

    def one_scale(image: torch.Tensor) -> torch.Tensor:
        hidden = F.max_pool2d(named(image, "layer1.conv1", 2).relu(), 3, 2, 1, ceil_mode=True)
        for layer, blocks, stride, dilation in ((2, 3, 1, 1), (3, 4, 2, 1), (4, 23, 1, 2), (5, 3, 1, 4)):
            for block in range(1, blocks + 1):
                part, step = f"layer{layer}.block{block}", stride if block == 1 else 1
                inner = named(named(hidden, f"{part}.reduce", step).relu(), f"{part}.conv3x3", 1, dilation).relu()
                inner = named(inner, f"{part}.increase")
                hidden = (inner + (named(hidden, f"{part}.shortcut", step) if block == 1 else hidden)).relu()
        return sum(conv(state, hidden, f"aspp.c{index}", 1, 6 * index + 6) for index in range(4))

    whole = one_scale(pixels)
    small = (F.interpolate(pixels, scale_factor=s, mode="bilinear", align_corners=False) for s in (0.5, 0.75))
    return torch.stack([whole, *(enlarged(one_scale(image), whole) for image in small)]).amax(0)


REFERENCES: dict[str, Callable[[State, torch.Tensor], torch.Tensor]] = {
    "upernet101": upernet,
    "drn_d_105": drn,
    "deeplab_v2": deeplab,
}


def test_parity_on_random_weights_of_the_same_layout(case: tuple[str, nn.Module]):
    kind, network = case
    pixels = torch.randn(1, 3, 64, 96, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        logits, expected = network(pixels), REFERENCES[kind](network.state_dict(), pixels)
    assert logits.shape == (
        1,
        CLASSES[kind],
        *{"upernet101": (16, 24), "drn_d_105": (64, 96)}.get(kind, logits.shape[2:]),
    )
    torch.testing.assert_close(logits, expected, rtol=1e-3, atol=1e-3 * expected.abs().max().item())


@pytest.mark.parametrize(
    ("network", "millions"), [(UperNet101(150), 83.2), (DRND105(19), 54.3), (DeepLabV2(182), 55.9)]
)
def test_sizes(network: nn.Module, millions: float):
    """ResNet-101's body of 42.5 M and the heads, by the layers' formulas."""
    assert sum(p.numel() for p in network.parameters()) / 1e6 == pytest.approx(millions, abs=0.1)


# -- files and rules --------------------------------------------------------------------------------------------------


def write(kind: str, network: nn.Module, folder: Path) -> Path:
    """Files of the original layout: two for UperNet, and as older ones without counters and under wrapped names."""
    state = {name: tensor for name, tensor in network.state_dict().items() if not name.endswith("num_batches_tracked")}
    if kind == "upernet101":
        for part in ("encoder", "decoder"):
            own = {name.removeprefix(f"{part}."): t for name, t in state.items() if name.startswith(part)}
            torch.save(own, folder / f"{part}_epoch_50.pth")
        return folder
    if kind == "deeplab_v2":
        state = {
            f"base.{name}".replace(".shortcut.", ".proj.").replace("aspp.", "aspp.stages."): t
            for name, t in state.items()
        }
        torch.save(state, folder / "deeplab.pth")
        return folder / "deeplab.pth"
    torch.save({"epoch": 3, "state_dict": {f"module.{name}": t for name, t in state.items()}}, folder / "drn.pth")
    return folder / "drn.pth"


def by_hand(kind: str, network: nn.Module, images: torch.Tensor) -> torch.Tensor:
    """Labels by the rules of each network's own evaluation program."""
    values, size = images.float(), images.shape[-2:]
    if kind == "deeplab_v2":
        values = values.flip(1) - torch.tensor([104.008, 116.669, 122.675]).view(3, 1, 1)
        return F.interpolate(network(values), size, mode="bilinear").argmax(1)
    imagenet = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
    cityscapes = ((0.290101, 0.328081, 0.286964), (0.182954, 0.186566, 0.184475))
    mean, std = (torch.tensor(row).view(3, 1, 1) for row in (imagenet if kind == "upernet101" else cityscapes))
    values, total = (values / 255 - mean) / std, 0.0
    sides = [(32, 64), (16, 32), (24, 48), (40, 80), (48, 96), (56, 112)]
    if kind == "upernet101":  # short sides 300 to 600, upwards to multiples of 32; the long side is twice as long
        sides = [(320, 608), (384, 768), (480, 928), (512, 1024), (512, 1024)]
    for side in sides:
        seen = values if side == tuple(size) else F.interpolate(values, side, mode="bilinear", antialias=True)
        logits = network(seen)
        if kind == "upernet101":
            total = total + F.interpolate(logits, size, mode="bilinear").softmax(1)
        else:
            total = total + F.interpolate(logits.log_softmax(1), size, mode="bilinear")
    return total.argmax(1)


@pytest.mark.slow
def test_labels_are_those_of_the_original_rules(case: tuple[str, nn.Module], tmp_path: Path):
    kind, network = case
    segmenter = PublishedSegmenter(kind, write(kind, network, tmp_path))
    images = torch.randint(0, 256, (1, 3, 32, 64), dtype=torch.uint8, generator=torch.Generator().manual_seed(2))
    with torch.no_grad():
        agreement = (segmenter(images) == by_hand(kind, network, images)).float().mean()
    assert agreement > 0.999
    assert len(segmenter.label_names) == CLASSES[kind] and "scores" in segmenter.facts()


@pytest.mark.parametrize(
    ("protocol", "preset"),
    [("miou_uper101_ade", "ade20k"), ("miou_drn_cityscapes", "cityscapes"), ("miou_deeplab_coco", "coco_stuff")],
)
def test_protocols_name_the_file_and_fit_their_sets(protocol: str, preset: str):
    chosen, spec = choose_protocols([], [protocol])[0], load_label_preset(preset)
    published = PUBLISHED[chosen.network]
    names = load_label_preset(published.preset)
    segmenter_labels = [name for label, name in enumerate(names.labels) if label != names.void_label_id]
    mapping = chosen.label_mapping(spec.labels, segmenter_labels, spec.void_label_id)
    used = [label for label in mapping.table if label is not None]
    assert len(used) == len(set(used)) == len(segmenter_labels)
    assert all(
        segmenter_labels[value] == spec.labels[label] for label, value in enumerate(mapping.table) if value is not None
    )
    with pytest.raises(ValueError, match=f"{protocol} needs --segmenter: "):
        build_measures([chosen], spec, (256, 256))


class Evil:
    def __reduce__(self):
        return (Path("owned").write_text, ("x",))


def test_what_is_no_such_checkpoint_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    file = tmp_path / "drn.pth"
    with pytest.raises(ValueError, match="drn.pth: no such file; give drn-d-105_ms_cityscapes.pth"):
        PublishedSegmenter("drn_d_105", file)
    with pytest.raises(
        ValueError, match=r"0 files encoder\*.pth; give the folder with encoder_\*.pth and decoder_\*.pth"
    ):
        PublishedSegmenter("upernet101", tmp_path)
    for content, words in (
        ({"seg.weight": Evil()}, "not a checkpoint of tensors alone"),
        ({"seg.weight": "text"}, "not a checkpoint of named tensors"),
        ({"seg.weight": torch.zeros(19, 512, 1, 1)}, "drn.pth: base.0.0.weight is missing, not"),
        ({"base.0.0.weight": torch.zeros(1)}, r"base.0.0.weight has shape \(1,\), not \(16, 3, 7, 7\)"),
    ):
        torch.save(content, file)
        with pytest.raises(ValueError, match=words) as caught:
            PublishedSegmenter("drn_d_105", file)
        assert "\n" not in str(caught.value)
    assert not (tmp_path / "owned").exists()
    file.write_bytes(b"\x00" * 100)
    with pytest.raises(ValueError, match="drn.pth: not a checkpoint of tensors alone"):
        PublishedSegmenter("drn_d_105", file)
