"""Finished runs about a few neurons, with every table that neuron pages show."""

from pathlib import Path

import numpy as np
import pandas as pd

from tests.report.conftest import HOSTILE, make_run


LAYERS, WIDTH, MODELS = 3, 40, ("a", "b")
SEPARATORS = "line\u2028separator</script><!--"
TOKENS = [HOSTILE, " F", "raction", "\n", "\t", SEPARATORS, "é", "\ufffd", "", " the"]
"""Texts of tokens, some of which must not be taken for markup."""
FIRST, LAST = -4.0, 6.0


def keys(model: str) -> pd.DataFrame:
    layer, neuron = np.divmod(np.arange(LAYERS * WIDTH), WIDTH)
    return pd.DataFrame({"model": model, "layer": layer, "neuron": neuron})


def times(frame: pd.DataFrame, count: int) -> pd.DataFrame:
    """Every row so many times, with the number of the repetition as `rank`, from 1."""
    repeated = frame.loc[frame.index.repeat(count)].reset_index(drop=True)
    return repeated.assign(rank=np.tile(np.arange(1, count + 1), len(frame)))


def texts(count: int) -> list[str]:
    return [TOKENS[place % len(TOKENS)] for place in range(count)]


def correlation(models=MODELS, seed=0) -> dict[str, pd.DataFrame]:
    random = np.random.default_rng(seed)
    parts, matches = [], []
    for model in models:
        part = keys(model)
        excess = random.random(len(part))
        parts.append(
            part.assign(valid=True, excess_corr=excess, mean_corr=excess + 0.2, universal=excess > 0.7)
        )
        for other in models:
            if other != model:
                found = times(part, 3)
                found["rank"] = found["rank"].map({1: 1, 2: 2, 3: -1})
                found["other"] = other
                found["match_layer"] = found["layer"]
                found["match_neuron"] = (found["neuron"] + found["rank"]) % WIDTH
                matches.append(found.assign(corr=0.8 / found["rank"]))
    return {"neurons": pd.concat(parts), "matches": pd.concat(matches) if matches else keys("a").head(0)}


def activations(model="a", values=True) -> dict[str, pd.DataFrame]:
    own = keys(model)
    random = np.random.default_rng(1)
    kurt = 3 + random.random(len(own))
    kurt[5] = np.nan
    neurons = own.assign(valid=True, skew=0.5, kurt=kurt, sparsity=random.random(len(own)), mean=1e-9)
    examples = times(own, 4)
    examples["kind"] = np.where(examples["rank"] <= 2, "top", "sample")
    examples["quantile"] = np.where(examples["kind"] == "top", np.nan, 0.25 * examples["rank"])
    examples["value"] = 5.0 - examples["rank"]
    examples = examples.assign(
        block=3, position=7, subset="prose", document=2, document_position=77, token_id=1
    )
    examples["token"], examples["at"] = TOKENS[1], 1
    examples["context"] = [np.arange(len(TOKENS), dtype=np.int32)] * len(examples)
    examples["text"] = f"{TOKENS[0]}⟦{TOKENS[1]}⟧{''.join(TOKENS[2:])}"
    found = {"neurons": neurons, "examples": examples}
    if values:  # without them the texts of most tokens are not known
        shades = -np.linspace(0, 0.9, len(TOKENS), dtype=np.float32)
        examples["values"] = [
            np.where(np.arange(len(TOKENS)) == 1, value, shades) for value in examples["value"]
        ]
        found["texts"] = pd.DataFrame({"token_id": range(len(TOKENS)), "text": TOKENS})
    counts = np.zeros(52, dtype=np.int64)
    counts[11:41], counts[0], counts[-1] = np.arange(30), 5, 7
    found["histograms"] = own.assign(low=FIRST, high=LAST, counts=[counts] * len(own))
    tokens = times(own, 2).assign(by="mean", count=12, mean=0.5, max=2.5)
    found["tokens"] = tokens.assign(token_id=tokens.index % len(TOKENS), token=texts(len(tokens)))
    return found


def weights(model="a") -> dict[str, pd.DataFrame]:
    own = keys(model)
    tokens = times(own, 4).assign(kind="u_out", token=1, cosine=0.4)
    tokens["rank"] = tokens["rank"].map({1: 1, 2: 2, 3: -1, 4: -2})
    tokens["cosine"] = 0.5 / tokens["rank"]
    neighbours = times(own, 2).assign(kind="in_in", match_layer=1, match_neuron=2, cosine=0.25)
    return {
        "neurons": own.assign(w_in_norm=1.5, vocab_kurt=3.25, kurt=99.0),
        "tokens": tokens.assign(text=texts(len(tokens))),
        "neighbours": neighbours,
    }


def families(model="a") -> dict[str, pd.DataFrame]:
    own = keys(model)
    family = np.where(own["neuron"] % 2 == 0, "unigram", "unexplained")
    labels = times(own, 10).assign(kind="unigram", label=HOSTILE, family="unigram", corr=-0.6)
    labels = labels.assign(vr=0.36 / labels["rank"], auroc=0.9, f1=0.5, vr_low=0.3, vr_high=0.4, q=1e-30)
    having, lacking = np.zeros(52, dtype=np.int64), np.full(52, 2)
    having[30:34] = 25
    histograms = own.assign(
        label=HOSTILE, low=FIRST, high=LAST, having=[having] * len(own), lacking=[lacking] * len(own)
    )
    return {
        "neurons": own.assign(valid=own["neuron"] != 3, family=family, label=HOSTILE, vr=0.36, q=1e-30),
        "best_labels": labels,
        "histograms": histograms,
    }


def interventions(model="a") -> dict[str, dict[str, pd.DataFrame]]:
    """Tables of the analyses of one neuron, L1.7."""
    own = pd.DataFrame({"model": [model], "layer": [1], "neuron": [7]})
    curves = times(own, 6).assign(metric="loss", change_low=-0.01, change_high=0.05)
    curves = curves.assign(value=6.0 - curves["rank"], change=0.01 * curves["rank"])
    heads = own.assign(head_layer=2, head=1, score_shifted=0.5, mean_bos_change=0.1, bos_attention=0.3)
    points = times(heads[["model", "layer", "neuron", "head_layer", "head"]], 1000)
    points = points.assign(activation=points["rank"] / 10, bos_change=points["rank"] / 1000)
    contrast = {"neurons": 3, "metric": "loss", "change": 0.2, "random": 0.1, "difference": 0.1}
    contrasts = pd.DataFrame(
        {"model": model, "set": ["universal"], **contrast, "difference_low": 0.05, "difference_high": 0.15}
    )
    prediction = keys(model).assign(**{"class": "other"})
    prediction.loc[LAYERS * WIDTH - 1, "class"] = "suppression"
    explained = own.assign(
        label=HOSTILE, kind="unigram", tokens=9, mean_difference=0.1, welch_t=4.0, variance_reduction=0.2
    )
    following = own.assign(
        set="label", label=HOSTILE, inside=30, mean_inside=1.0, mean_outside=0.0, difference=1.1
    )
    return {
        "entropy": {"curves": curves, "effects": own.assign(loss_change=0.01, loss_change_stderr=0.001)},
        "attention": {"pairs": heads.assign(pearson_activation_bos_change=0.9), "tokens": points},
        "ablation": {"sets": own.assign(set="universal", draw=0), "contrasts": contrasts},
        "prediction": {
            "neurons": prediction,
            "explanations": explained,
            "next_token": following.assign(low=1.0, high=1.2, auroc=0.7),
        },
    }


def write_runs(root: Path, analyses: dict[str, dict[str, pd.DataFrame]]) -> Path:
    """Finished runs below a folder, one an analysis."""
    for analysis, tables in analyses.items():
        folder = make_run(
            root / analysis, summary={"analysis": analysis, "models": list(MODELS)}, name=f"tiny/{analysis}"
        )
        for name, table in tables.items():
            table.to_parquet(folder / "tables" / f"{name}.parquet", index=False)
    return root


def every_run(root: Path) -> Path:
    """Runs of every analysis that pages show."""
    return write_runs(
        root,
        {
            "correlation": correlation(),
            "activations": activations(),
            "weights": weights(),
            "families": families(),
            **interventions(),
        },
    )
