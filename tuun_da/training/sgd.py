"""Stochastic gradient descent by torch's own function; its class takes longer to load than a small net to train."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim.sgd import sgd


class NesterovSGD:
    """The steps of ``torch.optim.SGD(..., nesterov=momentum > 0, fused=True)``, whose first use in a process loads
    torch's compiler: 3 s of one core, in every trial. (Sutskever et al. 2013; momentum 0 is plain SGD.)
    """

    def __init__(self, parameters: Iterable[nn.Parameter], *, momentum: float, weight_decay: float) -> None:
        self._parameters = [parameter for parameter in parameters if parameter.requires_grad]
        self._velocities: list[Tensor | None] = [None] * len(self._parameters)
        self._momentum, self._weight_decay = momentum, weight_decay

    @torch.no_grad()
    def step(self, learning_rate: float) -> None:
        """One step along the gradients, where a parameter has one."""
        places = [k for k, parameter in enumerate(self._parameters) if parameter.grad is not None]
        if self._momentum > 0:
            for k in places:  # zeros, because torch's function takes none only where all are none
                if self._velocities[k] is None:
                    self._velocities[k] = torch.zeros_like(self._parameters[k])
        velocities = [self._velocities[k] for k in places]
        sgd(
            [self._parameters[k] for k in places],
            [gradient for k in places if (gradient := self._parameters[k].grad) is not None],
            velocities,
            fused=True,
            foreach=False,
            weight_decay=self._weight_decay,
            momentum=self._momentum,
            lr=learning_rate,
            dampening=0.0,
            nesterov=self._momentum > 0,
            maximize=False,
        )

    def zero_grad(self) -> None:
        """Forget the gradients."""
        for parameter in self._parameters:
            parameter.grad = None

    def state_dict(self) -> dict[str, Any]:
        """The velocities, for a checkpoint."""
        return {"velocities": list(self._velocities)}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on with the velocities of a checkpoint."""
        self._velocities = [
            velocity if velocity is None else torch.empty_like(parameter).copy_(velocity)
            for velocity, parameter in zip(state["velocities"], self._parameters, strict=True)
        ]
