"""Run the training step in an environment, judge what it reported, leave a receipt."""
