# Copyright 2026 The dpsims_hf authors. Licensed under the Apache License, Version 2.0.
"""What the page draws and measures: scenes, variants, walks, evaluations, files; works without gradio."""
