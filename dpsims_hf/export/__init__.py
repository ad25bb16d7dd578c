# Copyright 2026 The dpsims_hf authors. Licensed under the Apache License, Version 2.0.
"""Networks as files that run without their code: ONNX, and exported programs of torch.

from dpsims_hf.export import OnnxGenerator, export_model

export_model(generator, "generator.onnx", dynamic=True)
pipe.generator_model = OnnxGenerator.from_file("generator.onnx")
"""

from .files import ExportedFile, export_model
from .onnx_generator import OnnxGenerator, onnx_generator_for


__all__ = ["ExportedFile", "OnnxGenerator", "export_model", "onnx_generator_for"]
