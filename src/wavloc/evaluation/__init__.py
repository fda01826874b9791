from wavloc.evaluation.metrics import *


def module_of(kind):
    return (
        "wavloc.evaluation."
        + {
            "errors": "metrics",
            "conditions": "conditions",
            "denoising": "conditions",
            "detection": "detection",
            "sources": "several",
        }[kind]
    )


def score(kind, p, d, cell, by=(), known=None, clean=None, **o):
    from wavloc.evaluation.conditions import evaluate_by
    from wavloc.evaluation.detection import detection
    from wavloc.evaluation.several import several

    if kind == "detection":
        return detection(p, d, cell, o["seed"], o["resamples"], o["block"])
    if kind == "sources":
        return several(p, d, cell, o["seed"], o["resamples"], o["block"])
    if by:
        return evaluate_by(p, d, cell, by, clean=clean, known=known, **o)
    return evaluate(p, d, cell, known=known, clean=clean, **o)
