"""The training side: losses, objectives, recipes, averaging and checkpoints. No model file imports it."""
