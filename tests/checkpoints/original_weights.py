# Copyright 2026 The dpsims_hf authors. Licensed under the Apache License, Version 2.0.
"""Original state dicts, made from our own networks by names written down once more."""

import torch

from dpsims_hf import (
    DPGANDiscriminator,
    DPGANDiscriminatorConfig,
    DPGANGenerator,
    DPGANGeneratorConfig,
    OASISDiscriminator,
    OASISDiscriminatorConfig,
    OASISGenerator,
    OASISGeneratorConfig,
)


ENCODER, DECODER = (4, 4, 6, 6, 8, 8), (8, 6, 6, 4, 4, 5)


# -- originals made from our own networks, by names written down once more --------------------------------------------


def varied(model: torch.nn.Module, seed: int = 0) -> torch.nn.Module:
    """Give biases, batch norms and their statistics values that matter."""
    rng = torch.Generator().manual_seed(seed)
    for name, tensor in model.state_dict().items():
        if name.endswith("running_var"):
            tensor.uniform_(0.5, 1.5, generator=rng)
        elif name.endswith("num_batches_tracked"):
            tensor.fill_(3)
        elif tensor.ndim == 1 and not name.endswith(("_u", "_v")):
            tensor.normal_(generator=rng)
    return model.eval()


def moved(state: dict, ours: str, theirs: str) -> dict:
    suffixes = {f".{n}": f".{n}" for n in ("weight", "bias", "running_mean", "running_var", "num_batches_tracked")}
    spectral = ".parametrizations.weight."
    suffixes |= {f"{spectral}original": ".weight_orig", f"{spectral}0._u": ".weight_u", f"{spectral}0._v": ".weight_v"}
    return {theirs + new: state[ours + old].clone() for old, new in suffixes.items() if ours + old in state}


def joined(state: dict, ours: str, theirs: str) -> dict:
    """Noise channels first, then labels."""
    parts = [state[f"{ours}.{part}.weight"] for part in ("noise", "labels") if f"{ours}.{part}.weight" in state]
    return {f"{theirs}.weight": torch.cat(parts, dim=1), f"{theirs}.bias": state[f"{ours}.labels.bias"].clone()}


def original_generator(model: torch.nn.Module) -> dict:
    state = model.state_dict()
    result = joined(state, "low_resolution_input", "fc") | moved(state, "to_image", "conv_img")
    for block in range(len(model.blocks)):
        for part in ("0", "1", "s"):
            result |= moved(state, f"blocks.{block}.conv_{part}", f"body.{block}.conv_{part}")
            ours, theirs = f"blocks.{block}.norm_{part}", f"body.{block}.norm_{part}"
            if f"{ours}.gamma_beta.weight" not in state:
                continue
            result |= moved(state, f"{ours}.norm", f"{theirs}.first_norm")
            for kind in ("weight", "bias"):
                gamma, beta = state[f"{ours}.gamma_beta.{kind}"].chunk(2)
                result |= {f"{theirs}.mlp_gamma.{kind}": gamma.clone(), f"{theirs}.mlp_beta.{kind}": beta.clone()}
            if isinstance(model, OASISGenerator):
                result |= joined(state, f"{ours}.embedding", f"{theirs}.mlp_shared.0")
    if isinstance(model, DPGANGenerator):
        result |= joined(state, "pyramid.stem.convolution", "seg_pyrmid.0.0")
        result |= moved(state, "pyramid.stem.norm", "seg_pyrmid.0.1")
        for level in range(len(model.pyramid.levels)):
            result |= moved(state, f"pyramid.levels.{level}.convolution", f"seg_pyrmid.{level + 1}.0")
            result |= moved(state, f"pyramid.levels.{level}.norm", f"seg_pyrmid.{level + 1}.1")
    return result


def original_discriminator(model: torch.nn.Module) -> dict:
    state, result = model.state_dict(), {}
    for ours, theirs in (("encoder", "body_down"), ("decoder", "body_up")):
        for block in range(len(getattr(model, ours))):
            first = "conv1.2" if theirs == "body_up" else "conv1.1" if block else "conv1.0"
            for old, new in (("conv_0", first), ("conv_1", "conv2.1"), ("conv_s", "conv_s")):
                result |= moved(state, f"{ours}.{block}.{old}", f"{theirs}.{block}.{new}")
    for kind in ("weight", "bias"):
        last = state[f"classifier.{kind}"]
        result[f"layer_up_last.{kind}"] = torch.cat([last[-1:], last[:-1]])
    for name, tensor in state.items():
        if name.startswith("patch_heads."):
            result[name.replace("patch_heads.", "dis.")] = tensor.clone()
    return result


def make_generator(family: str, widths=(8, 8, 4, 4, 2), num_labels=5, noise_dim=8, size=(32, 64), **options):
    torch.manual_seed(0)
    sizes = {"num_labels": num_labels, "noise_dim": noise_dim, "image_size": size}
    sizes |= {"base_channels": 1, "channel_multipliers": widths, "init_gain": 1.0, **options}
    if family == "oasis":
        return varied(OASISGenerator(OASISGeneratorConfig(spade_channels=6, **sizes)))
    pyramid = [3 + index % 3 for index in range(len(widths))]
    return varied(DPGANGenerator(DPGANGeneratorConfig(**{"pyramid_channels": pyramid, **sizes})))


def make_discriminator(family: str, encoder=ENCODER, decoder=DECODER, num_labels=5):
    torch.manual_seed(1)
    sizes = {"encoder_channels": encoder, "decoder_channels": decoder, "num_labels": num_labels, "init_gain": 1.0}
    if family == "oasis":
        return varied(OASISDiscriminator(OASISDiscriminatorConfig(**sizes)))
    return varied(DPGANDiscriminator(DPGANDiscriminatorConfig(patch_channels=3, **sizes)))


def generate(model: torch.nn.Module, size: tuple[int, int], regions: int = 3) -> torch.Tensor:
    """Images of random labels, with a noise vector for each of some regions."""
    rng = torch.Generator().manual_seed(2)
    labels = torch.randint(0, model.config.num_labels, (2, *size), generator=rng)
    noise = model.sample_noise(2, regions, generator=rng)
    with torch.no_grad():
        return model(labels, noise=noise, noise_regions=torch.randint(0, regions, (2, *size), generator=rng)).images
