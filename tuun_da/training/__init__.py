"""One trial: data set, model, and the loop that trains it. Knows nothing of a search, nor of NNI.

Importing ``checks``, ``settings``, ``schedule``, ``reward`` or ``options`` does not load torch.
"""
