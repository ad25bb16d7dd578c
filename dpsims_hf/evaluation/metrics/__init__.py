# Copyright 2026 The dpsims_hf authors. Licensed under the Apache License, Version 2.0.
"""Metrics on images, features and counts: states that merge exactly over processes, and values."""
