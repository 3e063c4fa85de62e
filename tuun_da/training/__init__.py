"""One trial: data sets, models, the training loop, the reward."""
