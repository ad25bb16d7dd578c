# Copyright 2026 The dpsims_hf authors. Licensed under the Apache License, Version 2.0.
"""Reads what visitors upload: label maps, colour tables, photos, archives; works without gradio."""
