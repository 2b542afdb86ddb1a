"""Where units are active, by loops over units."""

import numpy as np


def support(values, threshold, document):
    """Tokens and documents in which each unit is above a threshold, and its effective number of tokens."""
    found = {"support_tokens": [], "support_documents": [], "effective_tokens": []}
    for unit in values.T:
        active = unit > threshold
        found["support_tokens"].append(int(active.sum()))
        found["support_documents"].append(len(set(document[active].tolist())))
        energy = (unit - unit.mean()) ** 2
        found["effective_tokens"].append(energy.sum() ** 2 / (energy**2).sum())
    return {name: np.array(one) for name, one in found.items()}
