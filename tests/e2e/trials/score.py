"""The score of a quick trial."""

TYPES = ("rotate", "invert", "shearX")


def score_of(parameters):
    """Different for different parameters."""
    return round(
        TYPES.index(parameters["operation1_1"]) * 2 + parameters["prob1_1"] + parameters["magnitude1_1"] / 7, 12
    )
