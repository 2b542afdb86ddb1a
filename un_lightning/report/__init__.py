"""Pages that show runs: self-contained HTML without a server or a network, and the W&B workspace.

`finished` finds and reads runs, `compare` sets them side by side, `joined` joins their neuron tables,
`page` fills the templates, `workspace` lays out W&B's panels. Nothing here imports torch.
"""
