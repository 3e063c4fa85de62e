"""Bayesian optimization over any NNI search space: numpy and scipy, no images."""
