"""Synthetic activations of two models that share latents: statistics can be timed without any model."""

import torch
from torch import Tensor


CONTEXT, BATCH = 128, 4096


class Planted:
    """Batches [units, tokens] of two models with correlations from 0 to about 0.9, and rivals."""

    def __init__(self, units: int, device: torch.device, dtype: torch.dtype) -> None:
        generator = torch.Generator().manual_seed(0)
        self.latents = units // 3
        self.chosen = [torch.randint(self.latents, (2, units), generator=generator).to(device) for _ in "ab"]
        scale = torch.tensor([[1.0], [0.4]])
        self.weights = [(torch.rand(2, units, generator=generator) * scale).to(device) for _ in "ab"]
        self.device, self.dtype = device, dtype

    def batch(self, number: int) -> list[Tensor]:
        """Activations of both models, the same whenever asked for."""
        generator = torch.Generator(self.device).manual_seed(number)
        draw = lambda *shape: torch.randn(*shape, generator=generator, device=self.device)
        burst = draw(self.latents, BATCH // CONTEXT, 1).expand(-1, -1, CONTEXT).reshape(self.latents, -1)
        signal = draw(self.latents, BATCH) + 0.7 * burst
        signal = torch.where(signal > 1, signal**2, 0.1 * signal) - 0.5
        models = []
        for chosen, weight in zip(self.chosen, self.weights, strict=True):
            values = draw(chosen.shape[1], BATCH).mul_(0.5)
            for which in range(2):
                values.addcmul_(signal[chosen[which]], weight[which, :, None])
            models.append(values.to(self.dtype))
        return models
