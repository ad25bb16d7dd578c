# Copyright 2026 The dpsims_hf authors. Licensed under the Apache License, Version 2.0.
"""The page's models: finding, loading, their cost, and taking turns; works without gradio."""
