"""A short measure of exported weights: who is recognised, who is found, what it costs.

    python -m stream_anon.training.measure --faces lfw_dev_128.tar --pairs lfw_dev_pairs.csv \
        --recogniser mobileface_v2.onnx --detector yunet_n_dynamic.onnx

Clear gallery, anonymised probe, a fresh prior code for each probe; the threshold
comes from the clear impostor pairs. `stream-anon evaluate` is the full one.
"""

from __future__ import annotations

import argparse
import csv
import json
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from stream_anon.networks import engine
from stream_anon.networks.face_frame import TEMPLATE
from stream_anon.networks.identity import (
    AppearanceAutoencoder,
    IdentityEncoder,
    IdentityGenerator,
    appearance_prior_codes,
    prior_codes,
)
from stream_anon.training.pack import FaceFinder, align, read_pictures

Codes = NDArray[np.float32]
Pictures = NDArray[np.uint8]
IMAGENET = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))


def embed(recogniser: Path, pictures: Pictures) -> Codes:
    """Unit codes of crops (n,128,128,3) by an attacker of 112 px.

    ``mobilefacenet_a`` wants ImageNet normalisation, others bytes.
    """
    core = engine.core()
    model = core.read_model(recogniser)
    model.reshape([1, 3, 112, 112])
    net = core.compile_model(model, "CPU", {"INFERENCE_NUM_THREADS": 1})
    mean, std = (np.array(v, np.float32).reshape(3, 1, 1) for v in IMAGENET)
    found = []
    for picture in pictures:
        x = picture[8:120, 8:120].transpose(2, 0, 1).astype(np.float32)
        if recogniser.stem == "mobilefacenet_a":
            x = (x / 255 - mean) / std
        found.append(np.array(net(x[None])[0]).reshape(-1))
    codes = np.stack(found)
    return np.asarray(codes / np.linalg.norm(codes, axis=1, keepdims=True), np.float32)


def equal_error(genuine: Codes, impostor: Codes) -> float:
    """Rate at which false acceptance and false rejection meet."""
    levels = np.sort(np.concatenate([genuine, impostor]))
    accept = 1 - np.searchsorted(np.sort(impostor), levels, side="left") / len(impostor)
    reject = np.searchsorted(np.sort(genuine), levels, side="left") / len(genuine)
    best = int(np.argmin(np.abs(accept - reject)))
    return float((accept[best] + reject[best]) / 2)


def paste(faces: Pictures, crops: Pictures, mask: Pictures) -> Pictures:
    """Faces over crops (n,128,128,3) by a mask (128,128)."""
    alpha = mask.astype(np.float32)[None, :, :, None] / 255
    mixed = faces * alpha + crops * (1 - alpha)
    return np.asarray(np.rint(mixed).astype(np.uint8))


def jitter(crops: Pictures, points: Codes, rng: np.random.Generator) -> tuple[Pictures, Codes]:
    """Crops and landmarks moved by small similarities, as an unsteady tracker does."""
    moved, places = [], []
    for crop, point in zip(crops, points, strict=True):
        matrix = cv2.getRotationMatrix2D(
            (64, 64), float(rng.uniform(-2, 2)), float(rng.uniform(0.97, 1.03))
        )
        matrix = matrix + np.hstack([np.zeros((2, 2)), rng.uniform(-1.5, 1.5, (2, 1))])
        moved.append(cv2.warpAffine(crop, matrix, (128, 128), borderMode=cv2.BORDER_REPLICATE))
        places.append(point @ matrix[:, :2].T + matrix[:, 2] + rng.normal(0, 0.5, (5, 2)))
    return np.stack(moved).astype(np.uint8), np.stack(places).astype(np.float32)


def load_faces(source: Path, detector: Path) -> tuple[dict[str, int], Pictures, Codes]:
    """Row by name, crops (n,128,128,3), landmarks (n,5,2)."""
    finder = FaceFinder(detector)
    row: dict[str, int] = {}
    crops: list[Pictures] = []
    points: list[Codes] = []
    for name, picture in read_pictures(source):
        landmarks = finder(picture)
        crop, _, place = align(picture, TEMPLATE if landmarks is None else landmarks)
        row[name] = len(crops)
        crops.append(crop)
        points.append(place)
    return row, np.stack(crops), np.stack(points)


def main() -> None:
    """Measure and print JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--faces", type=Path, required=True)
    parser.add_argument("--pairs", type=Path, required=True)
    parser.add_argument("--recogniser", type=Path, action="append", required=True)
    parser.add_argument("--detector", type=Path, required=True)
    parser.add_argument("--method", choices=["identity", "dp-image"], default="identity")
    parser.add_argument("--limit", type=int, default=0, help="Use only so many pairs.")
    given = parser.parse_args()
    rng = np.random.default_rng(1)
    row, crops, points = load_faces(given.faces, given.detector)
    with given.pairs.open(encoding="utf-8") as file:
        pairs = [p for p in csv.DictReader(file) if p["a"] in row and p["b"] in row]
    if given.limit:
        pairs = [pairs[i] for i in rng.permutation(len(pairs))[: given.limit]]
    a = np.array([row[p["a"]] for p in pairs])
    b = np.array([row[p["b"]] for p in pairs])
    same = np.array([p["same"] == "1" for p in pairs])

    if given.method == "identity":
        generator = IdentityGenerator()
        mask, codes = generator.mask, prior_codes(len(pairs), rng)

        def draw(at: Pictures, places: Codes, code: Codes) -> Pictures:
            return generator(at, places, code)
    else:
        autoencoder = AppearanceAutoencoder()
        mask, codes = autoencoder.mask, appearance_prior_codes(len(pairs), rng)

        def draw(at: Pictures, places: Codes, code: Codes) -> Pictures:
            return autoencoder.decode(code, places, at)

    def anonymise(at: Pictures, places: Codes, code: Codes) -> Pictures:
        parts = [
            paste(draw(at[i : i + 8], places[i : i + 8], code[i : i + 8]), at[i : i + 8], mask)
            for i in range(0, len(at), 8)
        ]
        return np.concatenate(parts)

    new = anonymise(crops[b], points[b], codes)
    finder = FaceFinder(given.detector)
    errors = []
    for face, place in zip(new, points[b], strict=True):
        found = finder(face)
        if found is not None:
            eyes = float(np.linalg.norm(place[1] - place[0]))
            errors.append(float(np.linalg.norm(found - place, axis=1).mean()) / max(eyes, 1.0))
    result: dict[str, object] = {
        "pairs": len(pairs),
        "detected": len(errors) / len(new),
        "landmark_error_mean": float(np.mean(errors)),
        "landmark_error_median": float(np.median(errors)),
    }
    few = slice(0, min(300, len(pairs)))
    other = rng.permutation(len(crops))[: len(a[few])]
    moved, places = jitter(crops[b[few]], points[b[few]], rng)
    shaken = anonymise(moved, places, codes[few])
    elsewhere = anonymise(crops[other], points[other], codes[few])
    for recogniser in given.recogniser:
        clear = embed(recogniser, crops)
        probe = embed(recogniser, new)
        plain = (clear[a] * clear[b]).sum(1)
        against = (clear[a] * probe).sum(1)
        threshold = float(np.quantile(plain[~same], 0.999))
        place_codes = embed(recogniser, elsewhere)
        mine = probe[few]
        result[recogniser.stem] = {
            "clear_tar_at_1e-3": float((plain[same] > threshold).mean()),
            "clear_eer": equal_error(plain[same], plain[~same]),
            "tar_at_1e-3": float((against[same] > threshold).mean()),
            "tar_at_1e-2": float((against[same] > np.quantile(plain[~same], 0.99)).mean()),
            "eer": equal_error(against[same], against[~same]),
            "cosine_to_original": float((probe * clear[b]).sum(1).mean()),
            "cosine_over_jitter": float((mine * embed(recogniser, shaken)).sum(1).mean()),
            "cosine_same_code_other_picture": float((mine * place_codes).sum(1).mean()),
            "cosine_other_code_other_picture": float(
                (mine * np.roll(place_codes, 1, axis=0)).sum(1).mean()
            ),
        }
    cost: dict[str, float] = {}
    for threads in (1, 2):
        drawer, encoder = IdentityGenerator(threads), IdentityEncoder(threads)
        code = prior_codes(1, rng)
        calls: dict[str, Callable[[], object]] = {
            "generator": partial(drawer, crops[:1], points[:1], code),
            "encoder": partial(encoder, crops[:1]),
        }
        for name, call in calls.items():
            times = []
            for _ in range(30):
                start = time.perf_counter()
                call()
                times.append(time.perf_counter() - start)
            cost[f"{name}_{threads}_ms"] = round(float(np.median(times)) * 1e3, 2)
    result["cost"] = cost
    print(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()
