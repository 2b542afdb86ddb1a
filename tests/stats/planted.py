"""Blocks of two models' activations that share latents: sparse, heavy-tailed, alike within a block."""

import numpy as np
import torch


def planted(blocks, context, widths_left, widths_right, seed=0):
    """Activations [tokens, units] of two models with correlations from 0 to about 0.9, and some rivals.

    A third as many latents as units, so that a latent has several units in either model; latents fire in
    bursts, so that tokens of a block are not independent.
    """
    generator = torch.Generator().manual_seed(seed)
    sizes = sum(widths_left), sum(widths_right)
    latents = max(4, sizes[0] // 3)
    tokens = blocks * context
    weather = torch.randn(blocks, 1, latents, generator=generator).expand(-1, context, -1).reshape(tokens, -1)
    signal = torch.randn(tokens, latents, generator=generator) + 0.7 * weather
    signal = torch.where(signal > 1, signal**2, 0.1 * signal)
    signal = (signal - signal.mean(0)) / signal.std(0)
    models = []
    for size in sizes:
        chosen = torch.randint(0, latents, (2, size), generator=generator)
        weight = torch.rand(2, size, generator=generator) * torch.tensor([[1.0], [0.4]])
        noise = torch.randn(tokens, size, generator=generator)
        mixed = weight[0] * signal[:, chosen[0]] + weight[1] * signal[:, chosen[1]] + 0.5 * noise
        scale = torch.from_numpy(np.random.default_rng(seed).lognormal(size=size)).float()
        models.append(mixed * scale + 3 * scale)
    return models[0], models[1]
