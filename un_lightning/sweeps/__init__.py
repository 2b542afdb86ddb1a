"""Sweeps from W&B's sweep files, without a server: the same files also go to `wandb sweep` unchanged.

`spec` reads and checks a file, `search` says which points to run, `command` how a point is launched,
`preflight` checks every point's config before the first run, `runner` runs them, `outcome` shows what
came out. Nothing here imports torch.
"""
