"""ST-Adam, the optimiser that VisualMixer's authors pair with shuffled data.

What is published of it, as summaries give it: it counters the *gradient oscillation* that
shuffled data cause, and "dynamically adjusts update momentum based on the current gradient and
historical gradients" (Li et al., NDSS 2024). Its update rule could not be read. What follows is
**our reading of that sentence**, and is named as one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

try:
    import torch
except ImportError as missing:
    raise ImportError(
        "stream_anon.visual_mixer.optim needs torch: install the extra 'train'"
    ) from missing


class STAdam(torch.optim.Optimizer):  # type: ignore[misc, unused-ignore]
    """Adam whose momentum holds on to the past where gradients swing.

    For every weight, with gradient ``g``, its first moment ``m`` and the same mean of its size
    ``a``, so that ``|m| / a`` is 1 while all gradients agree and near 0 while they cancel::

        swing = 1 - |beta1 m + (1 - beta1) g| / (beta1 a + (1 - beta1) |g|)       in [0, 1]
        beta  = beta1 + (1 - beta1) * steadiness * swing
        m     = beta m + (1 - beta) g;    a = beta a + (1 - beta) |g|

    A weight whose gradients agree moves exactly as in Adam; where they cancel, a new gradient
    counts only ``1 - steadiness`` as much, whatever its sign: damping only those that oppose
    the history would push it further the way it happens to point. The bias correction divides
    by one minus the product of the betas used, so that ``m`` stays a weighted mean of the
    gradients. The second moment is Adam's (Kingma and Ba, 2015).

    Args:
        params: tensors or groups, as for every optimiser.
        lr: step size, positive.
        betas: decay of the two moments, each in [0, 1).
        eps: added to the denominator, positive.
        weight_decay: L2 penalty added to the gradient, as in Adam.
        steadiness: 0 is Adam; at 1 gradients that wholly cancel are left out of the first moment.

    Raises:
        ValueError: a value is out of range.
    """

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.0,
        steadiness: float = 0.5,
    ) -> None:
        if lr <= 0 or eps <= 0 or weight_decay < 0:
            raise ValueError(f"lr and eps must be positive, not {lr} and {eps}")
        if not (0 <= betas[0] < 1 and 0 <= betas[1] < 1):
            raise ValueError(f"betas must lie in [0, 1), not {betas}")
        if not 0 <= steadiness <= 1:
            raise ValueError(f"steadiness must lie in [0, 1], not {steadiness}")
        defaults = {
            "lr": lr,
            "betas": betas,
            "eps": eps,
            "weight_decay": weight_decay,
            "steadiness": steadiness,
        }
        super().__init__(params, defaults)

    @torch.no_grad()  # type: ignore[misc, unused-ignore]
    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Take one step.

        Args:
            closure: computes the loss anew and returns it; optional.

        Returns:
            The closure's loss, or None.

        Raises:
            RuntimeError: a gradient is sparse.
        """
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            for weight in group["params"]:
                if weight.grad is not None:
                    self._update(weight, group)
        return loss

    def _update(self, weight: Any, group: dict[str, Any]) -> None:
        gradient = weight.grad
        if gradient.is_sparse:
            raise RuntimeError("STAdam does not take sparse gradients")
        if group["weight_decay"]:
            gradient = gradient.add(weight, alpha=group["weight_decay"])
        first_beta, second_beta = group["betas"]
        state = self.state[weight]
        if not state:
            state["step"] = 0
            state["first"] = torch.zeros_like(weight)
            state["size"] = torch.zeros_like(weight)
            state["second"] = torch.zeros_like(weight)
            # Product of the betas used so far, for each weight.
            state["past"] = torch.ones_like(weight)
        state["step"] += 1
        first, size, past, second = (state[k] for k in ("first", "size", "past", "second"))

        length = gradient.abs()
        mean = first.mul(first_beta).add_(gradient, alpha=1 - first_beta).abs_()
        most = size.mul(first_beta).add_(length, alpha=1 - first_beta)
        swing = 1 - mean / most.clamp_min(torch.finfo(weight.dtype).tiny)
        swing.masked_fill_(most == 0, 0.0).clamp_(0.0, 1.0)
        beta = swing.mul_((1 - first_beta) * group["steadiness"]).add_(first_beta)

        first.mul_(beta).addcmul_(1 - beta, gradient)
        size.mul_(beta).addcmul_(1 - beta, length)
        past.mul_(beta)
        second.mul_(second_beta).addcmul_(gradient, gradient, value=1 - second_beta)
        root = (second / (1 - second_beta ** state["step"])).sqrt_().add_(group["eps"])
        weight.addcdiv_(first / (1 - past), root, value=-group["lr"])
