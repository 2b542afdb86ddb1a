"""Near-copies by hand: every pair is looked at, and links are followed until nothing changes."""

import numpy as np


def sharing(matches):
    """Pairs of neurons with more than half of their best partners in common."""
    partners = {}
    for row in matches[matches["rank"] == 1].itertuples():
        place = row.layer, row.neuron
        partners.setdefault(place, set()).add((row.other, row.match_layer, row.match_neuron))
    return {
        (a, b)
        for a, of_a in partners.items()
        for b, of_b in partners.items()
        if a != b and len(of_a & of_b) > max(len(of_a), len(of_b)) / 2
    }


def clusters(neurons, neighbours, matches):
    """Place of the first neuron that each is linked with, directly or not."""
    links = sharing(matches) if len(matches) else set()
    for row in neighbours.itertuples():
        if row.kind in ("in_in", "out_out") and abs(row.cosine) > 0.8:
            links.add(((row.layer, row.neuron), (row.match_layer, row.match_neuron)))
    keys = [*zip(neurons["layer"], neurons["neuron"], strict=True)]
    found = list(range(len(keys)))
    while True:
        before = list(found)
        for a, b in links:
            i, j = keys.index(a), keys.index(b)
            found[i] = found[j] = min(found[i], found[j])
        if found == before:
            return np.array(found)


def simulated(seed, *, layers, width, copies, chosen, mixed):
    """Values without any effect, in which each layer has `chosen` sets of `copies` near-copies.

    The sets are the chosen neurons; where mixed, half of each set is not chosen, and as many others are.

    Returns:
        Values, cluster, chosen and layer of each neuron.
    """
    generator = np.random.default_rng(seed)
    layer, place = np.divmod(np.arange(layers * width), width)
    copied = place < copies * chosen
    cluster = np.where(copied, layer * width + place // copies * copies, np.arange(layers * width))
    own = generator.normal(size=layers * width)
    values = np.where(copied, own[cluster] + 0.2 * generator.normal(size=len(own)), own)
    chosen_ones = copied & (place % 2 == 0) if mixed else copied
    if mixed:
        chosen_ones |= (place >= copies * chosen) & (place < 1.5 * copies * chosen)
    return values, cluster, chosen_ones, layer
