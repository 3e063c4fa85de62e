"""Several networks of one architecture with their weights stacked, so that one optimizer updates all of them.

Notation: p networks; B images in a mini-batch; K classes. How the networks compute is a formulation:

- ``loop``: one network after the other.
- ``grouped``: ``torch.func.vmap``, which makes one grouped convolution of the p convolutions of a layer.
- ``matmul``: ``vmap`` too, but a convolution is the matrix product of weights and unfolded image.

Milliseconds of a training step for each network of ``child_cnn``, B 64, on one core of an AMD EPYC (torch 2.11, medians
of 7): at 32x32x3, p = 4, ``loop`` 85, ``grouped`` 102, ``matmul`` 346; at 8x8x1, p = 8, 9.2, 7.2, 60. So the CPU takes
turns, which also leaves each network its own dropout; for images as small as the digits ``grouped`` may be asked for
(8 trials at once, 6 epochs: 0.60 s of CPU each for 0.78, ``benchmarks/results/many_trials_cpu.jsonl``). A GPU, which
the mini-batch of one small network does not fill, gets ``grouped`` (``benchmarks/many_trials.py`` is to measure it).
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor, nn
from torch.func import functional_call, stack_module_state, vmap
from torch.nn import functional

from tuun_da.training.checks import checked_choice
from tuun_da.training.evaluation import checked_logits

FORMULATIONS = ("loop", "grouped", "matmul")

Loss = Callable[[Tensor, Tensor], Tensor]
"""Of logits (..., B, K) and labels (..., B), the mean over the mini-batch (...,)."""

State = Mapping[str, Tensor]


def default_formulation(device: torch.device) -> str:
    """The formulation for ``device``, on the evidence above."""
    return "loop" if device.type == "cpu" else "grouped"


class StackedNetworks:
    """p networks on ``device``, made of ``models``, which have one architecture and are not needed afterwards.

    ``name`` is that of the architecture, for the ConfigError if it does not give logits of ``num_classes``.

    ``generator_states``, for ``loop`` on the CPU, has the state of torch's global generator that each network goes on
    from; then its dropout is what it would be alone. Otherwise all draw from the one global generator in turn.
    Buffers (the statistics of batch normalization) are stacked like the parameters. Raises ConfigError.
    """

    def __init__(
        self,
        models: Sequence[nn.Module],
        formulation: str,
        device: torch.device,
        *,
        name: str,
        num_classes: int,
        generator_states: Sequence[Tensor] | None = None,
    ) -> None:
        self.formulation = checked_choice("formulation", formulation, FORMULATIONS)
        self._name, self._num_classes = name, num_classes
        parameters, buffers = stack_module_state(list(models))
        self._parameters = {name: tensor.detach().to(device).requires_grad_() for name, tensor in parameters.items()}
        self._buffers = {name: tensor.detach().to(device) for name, tensor in buffers.items()}
        self._structure = copy.deepcopy(models[0]).to("meta")  # every tensor is given with the call
        self._generator_states = list(generator_states) if generator_states is not None else None
        self._channels_last = device.type == "cuda" and formulation == "grouped"
        if formulation == "matmul":
            _use_matmul(self._structure)
        if formulation == "loop":
            self._parameters = {name: _rows_channels_last(tensor) for name, tensor in self._parameters.items()}
            for tensor in self._parameters.values():
                tensor.grad = torch.zeros_like(tensor)
            self._rows = [self._row(number) for number in range(len(models))]

    @property
    def parameters(self) -> list[Tensor]:
        """Leaf tensors (p, ...), what an optimizer updates; their gradients are there after ``learn``."""
        return list(self._parameters.values())

    @property
    def state(self) -> list[Tensor]:
        """All tensors that training changes, without the gradients."""
        return [*self._parameters.values(), *self._buffers.values()]

    def train(self, mode: bool = True) -> None:
        """As ``nn.Module.train``: dropout and the statistics of batch normalization."""
        self._structure.train(mode)

    def learn(self, images: Tensor, labels: Tensor, loss: Loss, context: Callable[[], torch.autocast]) -> Tensor:
        """Set the gradients of one step on ``images`` float (p, B, c, h, w), ``labels`` (p, B).

        Gives the logits float32 (p, B, K), without gradients. ``context`` is entered for the forward pass.
        """
        if self.formulation == "loop":
            return self._learn_in_turn(images, labels, loss, context)
        for tensor in self._parameters.values():
            tensor.grad = None
        with context():
            logits = self._together(images)
        logits = logits.float()
        loss(logits, labels).sum().backward()  # type: ignore[no-untyped-call]
        return logits.detach()

    def logits(self, images: Tensor) -> Tensor:
        """Logits (p, B, K) of ``images`` float (p, B, c, h, w), without gradients."""
        with torch.no_grad():
            if self.formulation != "loop":
                return self._together(images)
            return torch.stack([self._alone(row, part) for row, part in zip(self._rows, images, strict=True)])

    def _learn_in_turn(
        self, images: Tensor, labels: Tensor, loss: Loss, context: Callable[[], torch.autocast]
    ) -> Tensor:
        logits = []
        for tensor in self._parameters.values():
            assert tensor.grad is not None
            tensor.grad.zero_()  # in place, because the rows' gradients are parts of it
        for number, (row, part, classes) in enumerate(zip(self._rows, images, labels, strict=True)):
            if self._generator_states is not None:
                torch.default_generator.set_state(self._generator_states[number])
            with context():
                one = self._alone(row, part)
            if self._generator_states is not None:
                self._generator_states[number] = torch.default_generator.get_state()
            one = one.float()
            loss(one, classes).backward()  # type: ignore[no-untyped-call]
            logits.append(one.detach())
        return torch.stack(logits)

    def _row(self, number: int) -> State:
        """The tensors of one network: parts of the stacked ones, with gradients that are parts of those."""
        row: dict[str, Tensor] = {}
        for name, tensor in self._parameters.items():
            assert tensor.grad is not None
            row[name] = tensor.detach()[number].requires_grad_()
            row[name].grad = tensor.grad[number]
        return row | {name: tensor[number] for name, tensor in self._buffers.items()}

    def _alone(self, row: State, images: Tensor) -> Tensor:
        return self._call(row, images.contiguous(memory_format=torch.channels_last))  # as in loop.train

    def _together(self, images: Tensor) -> Tensor:
        if self._channels_last:  # (B, h, w, p, c) in memory: a grouped convolution's channels are those of all networks
            images = images.permute(1, 3, 4, 0, 2).contiguous().permute(3, 0, 4, 1, 2)
        # vmap may change the buffers in place, because they are stacked as well
        result: Tensor = vmap(self._call, randomness="different")(self._parameters | self._buffers, images)
        return result

    def _call(self, state: State, images: Tensor) -> Tensor:
        logits: object = functional_call(self._structure, dict(state), (images,))
        return checked_logits(logits, len(images), self._num_classes, self._name)


def _rows_channels_last(tensor: Tensor) -> Tensor:
    """A leaf with the values of ``tensor``; kernels (p, o, i, h, w) are channels_last, as in loop.train."""
    if tensor.dim() != 5:
        return tensor
    return tensor.detach().permute(0, 1, 3, 4, 2).contiguous().permute(0, 1, 4, 2, 3).requires_grad_()


class MatmulConv2d(nn.Conv2d):
    """A convolution as a product of matrices: the weights (o, i * kh * kw) with the unfolded images."""

    def _conv_forward(self, input: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        padding = int(self.padding[0]), int(self.padding[1])
        size = [
            (input.shape[2 + k] + 2 * padding[k] - self.dilation[k] * (self.kernel_size[k] - 1) - 1) // self.stride[k]
            + 1
            for k in range(2)
        ]
        columns = functional.unfold(input, self.kernel_size, self.dilation, padding, self.stride)
        result = torch.matmul(weight.flatten(1), columns)
        result = result.view(*result.shape[:2], *size)
        return result if bias is None else result + bias.to(result.dtype)[:, None, None]


def _use_matmul(structure: nn.Module) -> None:
    for module in structure.modules():
        plain = type(module) is nn.Conv2d and module.groups == 1 and module.padding_mode == "zeros"
        if plain and not isinstance(module.padding, str):
            module.__class__ = MatmulConv2d  # same attributes, and parameters under the same names
