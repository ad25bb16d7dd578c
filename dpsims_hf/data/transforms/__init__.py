# Copyright 2026 The dpsims_hf authors. Licensed under the Apache License, Version 2.0.
"""What happens to a pair of photo and label map before it is a sample."""

from .joint import JointTransform, stateless_generator


__all__ = ["JointTransform", "stateless_generator"]
