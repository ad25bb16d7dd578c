# Copyright 2026 The dpsims_hf authors. Licensed under the Apache License, Version 2.0.
"""The fast form of a generator: fixed weights, fewer passes over memory, and the number type that the machine is
fastest with.
"""

import copy
import json
import time
import weakref
from collections import OrderedDict
from typing import Any

import torch
from torch import nn
from transformers.utils import logging


logger = logging.get_logger(__name__)

TRIAL_SECONDS = 2.0
QUICK_SECONDS = 0.03  # an image that takes no longer stays in float32: there is nothing to win
CLEARLY = 0.87  # of float32's time: what bfloat16 must stay below, so that a busy moment does not choose

_tried: dict[tuple, torch.dtype] = {}
_kept: Any = weakref.WeakKeyDictionary()  # model: {number type: (its weights then, the fast form)}


def inference_form(model: Any, dtype: str | torch.dtype = "auto") -> Any:
    """The fast form of a generator, see `SemanticGenerator.for_inference`."""
    if hasattr(model, "inference_dtype"):
        raise ValueError("this is a fast form already; call for_inference on the model that it was made from")
    return _build(model, number_type(model, dtype))


def kept_inference_form(model: Any, dtype: str | torch.dtype = "auto") -> Any:
    """As `inference_form`; made once, and again when the model's weights have changed. A fast form is its own."""
    if hasattr(model, "inference_dtype"):
        return model
    chosen, now = number_type(model, dtype), Fingerprint(model)
    forms = _kept.setdefault(model, {})
    if chosen not in forms or forms[chosen][0].found != now.found:
        forms[chosen] = (now, _build(model, chosen))
    return forms[chosen][1]


def number_type(model: Any, dtype: str | torch.dtype = "auto") -> torch.dtype:
    """The number type that is meant: "auto" is float32, or bfloat16 where that is clearly faster (a trial)."""
    if dtype == "auto":
        if model.dtype != torch.float32:
            return model.dtype
        can_try = hasattr(model.config, "image_size") and has_bfloat16(model.device)
        return _tried_type(model) if can_try else torch.float32
    chosen = getattr(torch, dtype, None) if isinstance(dtype, str) else dtype
    if chosen not in (torch.float32, torch.bfloat16):
        raise ValueError(f"dtype={dtype!r} is none of 'auto', 'float32', 'bfloat16'")
    return chosen


def has_bfloat16(device: torch.device) -> bool:
    """Whether a device multiplies bfloat16 in hardware."""
    if device.type == "cuda":
        return torch.cuda.get_device_capability(device) >= (8, 0)
    if device.type != "cpu" or not torch.backends.mkldnn.is_available():
        return False
    asked = (getattr(torch.cpu, name, None) for name in ("_is_avx512_bf16_supported", "_is_amx_tile_supported"))
    return any(question is not None and question() for question in asked)


def _tried_type(model: Any) -> torch.dtype:
    """Which of float32 and bfloat16 is faster here, measured once for a model, device and number of threads."""
    config = json.dumps(model.config.to_dict(), sort_keys=True, default=str)
    key = (type(model).__name__, config, str(model.device), torch.get_num_threads())
    if key not in _tried:
        _tried[key] = _trial(model)
    return _tried[key]


def _trial(model: Any) -> torch.dtype:
    start = time.perf_counter()
    forms = {dtype: _build(model, dtype) for dtype in (torch.float32, torch.bfloat16)}
    for form in forms.values():  # a trial is nobody's call
        form.__dict__ |= {"_forward_pre_hooks": OrderedDict(), "_forward_hooks": OrderedDict()}
    inputs = _trial_inputs(model)
    best = {torch.float32: min(_seconds(forms[torch.float32], inputs) for _ in range(4))}
    if best[torch.float32] <= QUICK_SECONDS:
        return torch.float32
    _seconds(forms[torch.bfloat16], inputs)  # warm
    while True:  # in turns
        for dtype, form in forms.items():
            best[dtype] = min(best.get(dtype, float("inf")), _seconds(form, inputs))
        if time.perf_counter() - start > TRIAL_SECONDS:
            break
    ratio = best[torch.bfloat16] / best[torch.float32]
    chosen = torch.bfloat16 if ratio < CLEARLY else torch.float32
    logger.info(
        f"{type(model).__name__} computes in {str(chosen)[6:]} here: {1e3 * best[torch.float32]:.0f} ms in float32, "
        f"{1e3 * best[torch.bfloat16]:.0f} ms in bfloat16"
    )
    return chosen


def _trial_inputs(model: Any) -> dict[str, torch.Tensor]:
    """An image of the training size with a few regions; no random numbers are drawn."""
    height, width = model.config.image_size
    rows = torch.arange(height)[:, None] * 5 // height
    label_map = ((rows + torch.arange(width) * 7 // width) % model.config.num_labels)[None].to(model.device)
    inputs = {"label_map": label_map, "noise": torch.full((1, model.config.noise_dim), 0.5, device=model.device)}
    if getattr(model.config, "use_instance_offsets", False):
        inputs["instance_offsets"] = torch.zeros(1, 2, height, width, device=model.device)
    return inputs


def _seconds(form: Any, inputs: dict[str, torch.Tensor]) -> float:
    """Of an image; on a CPU the processor's, since what else the machine does must not choose."""
    on_cpu = inputs["label_map"].device.type == "cpu"
    clock = time.process_time if on_cpu else time.perf_counter
    start = clock()
    float(form(**inputs).images.sum())  # waits for an accelerator
    return (clock() - start) / (torch.get_num_threads() if on_cpu else 1)


@torch.no_grad()
def _build(model: Any, dtype: torch.dtype) -> Any:
    """A model of the same class whose modules have fixed weights."""
    was_training = model.training
    model.eval()  # no power iteration while the weights are read
    try:
        replaced = model._inference_modules(dtype)
    finally:
        model.train(was_training)
    form = copy.copy(model)  # hooks are those of the model
    form.__dict__ = {**form.__dict__, "training": False, "inference_dtype": dtype, "save_pretrained": _refuse_saving}
    form.__dict__["kept_textures"] = {}
    form._modules = {name: replaced.get(name, module) for name, module in model._modules.items()}
    form.eval().requires_grad_(False)
    form.forward = torch.no_grad()(form.forward)
    return form


def _refuse_saving(*args: Any, **kwargs: Any) -> None:
    raise ValueError("a fast form has no weights to save; save the model that it was made from")


class Fingerprint:
    """By which weights are known to be those that they were.

    Args:
        model: looked at now.
    """

    def __init__(self, model: nn.Module) -> None:
        self.found = self._look(model)

    @staticmethod
    def _look(model: nn.Module) -> list[tuple[int, int, str]]:
        tensors = [*model.parameters(), *model.buffers()]
        return [(t.data_ptr(), 0 if t.is_inference() else t._version, str(t.device)) for t in tensors]


__all__ = ["has_bfloat16", "inference_form", "kept_inference_form", "number_type"]
