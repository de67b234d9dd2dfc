"""Run the training step in an environment, judge what it told, leave a receipt."""
