# Copyright 2026 The dpsims_hf authors. Licensed under the Apache License, Version 2.0.
"""The canvas for painting classes: a gradio component with its own JavaScript, CSS and HTML."""
