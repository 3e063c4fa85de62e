"""A training step as a CUDA graph: recorded once, then started as a whole, so that the host launches no kernels.

After "Whole-network capture" in PyTorch's notes on CUDA semantics: three steps on a side stream as warm-up, gradients
None before the recording so that they are allocated in the graph's own memory, inputs in tensors that stay. The state
of the default generator is handled by ``torch.cuda.graph``: each start draws other numbers for dropout.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

logger = logging.getLogger(__name__)

WARMUP_STEPS = 3


def captured(
    step: Callable[[], None], state: Callable[[], Sequence[Tensor]], device: torch.device
) -> Callable[[], None]:
    """``step`` as a graph, or ``step`` itself, with a warning, where it cannot be recorded.

    ``step`` reads and writes tensors on ``device`` that stay where they are, and does not ask for their values.
    ``state()`` are those that it changes: after the warm-up they are as before, and those that came into being in it
    (momentum) are zero. So is the generator of the device. Raises torch.OutOfMemoryError.
    """
    before = [(tensor, tensor.detach().clone()) for tensor in state()]
    generator_state = torch.cuda.get_rng_state(device)
    current = torch.cuda.current_stream(device)
    side = torch.cuda.Stream(device)  # type: ignore[no-untyped-call]
    side.wait_stream(current)
    with torch.cuda.stream(side):
        for _ in range(WARMUP_STEPS):
            step()
    current.wait_stream(side)
    graph = torch.cuda.CUDAGraph()
    start: Callable[[], None] = graph.replay
    try:
        # the stream of the warm-up, on which autograd has already met the parameters
        with torch.cuda.graph(graph, stream=side):
            step()
    except torch.OutOfMemoryError:
        raise
    except RuntimeError as error:
        torch.cuda.set_stream(current)  # which torch.cuda.graph leaves as it is when the recording has failed
        logger.warning(
            "the training step cannot be recorded as a CUDA graph (%s); it runs without one, more slowly",
            str(error).partition("\n")[0],
        )
        start = step
    with torch.no_grad():
        old = {id(tensor) for tensor, _ in before}
        for tensor in state():
            if id(tensor) not in old:
                tensor.zero_()
        for tensor, value in before:
            tensor.copy_(value)
    torch.cuda.set_rng_state(generator_state, device)
    return start
