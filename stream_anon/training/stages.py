"""The stages of a training run, each resumable, each a method of `Training`."""

from __future__ import annotations

import logging
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from stream_anon.alignment.mesh import NAME as MESH
from stream_anon.alignment.mesh import FaceMesh
from stream_anon.errors import UsageError
from stream_anon.methods.generative.bottleneck import CROP_SCALE
from stream_anon.models import registry
from stream_anon.training import morphable
from stream_anon.training.activations import quantise_activations
from stream_anon.training.arch.encoder import STUDENT_A, Encoder
from stream_anon.training.arch.generator import FaceGenerator
from stream_anon.training.arch.landmarks import SIDE, LandmarkNet
from stream_anon.training.arch.mesh import MeshNet
from stream_anon.training.arch.recogniser import OnnxRecogniser
from stream_anon.training.data.batches import Batch, Faces
from stream_anon.training.data.codes import Prior, code_table
from stream_anon.training.data.pack import Pack, build_pack
from stream_anon.training.distil import distil
from stream_anon.training.export import export, load_folded, load_weights
from stream_anon.training.generators.appearance import AppearanceTrainer, AppearanceWeights
from stream_anon.training.generators.identity import IdentityTrainer, IdentityWeights, LossNetworks
from stream_anon.training.generators.trainer import FaceTrainer, Gossip, train
from stream_anon.training.landmarks import landmarks
from stream_anon.training.plan import TrainConfig
from stream_anon.training.runtime import load_checkpoint, pick_device, place, save_checkpoint
from stream_anon.training.sheets import sheet

log = logging.getLogger(__name__)

SHOWN = 12
"""Faces on a sample sheet."""


class Training:
    """One run.

    Args:
        config: What is asked for.
    """

    def __init__(self, config: TrainConfig) -> None:
        self.config = config
        self.out = config.out
        self.device = pick_device(config.device)
        self.out.mkdir(parents=True, exist_ok=True)

    @property
    def _own_folder(self) -> Path:
        """Where this process keeps its checkpoints."""
        worker = self.config.worker
        return self.out if worker == 0 else self.out / f"worker-{worker}"

    def run(self) -> None:
        """Run the stages that were asked for."""
        if self.config.threads:
            torch.set_num_threads(self.config.threads)
        for stage in self.config.stages:
            log.info("stage %s on %s", stage, self.device)
            getattr(self, f"_{stage}")()

    @cached_property
    def faces(self) -> Faces:
        """The training images: from the pack, which is built first where it is missing."""
        folder = self.out / "pack"
        if not folder.is_dir():
            if not self.config.data or self.config.detector is None:
                raise UsageError("a new run needs --data and --detector")
            build_pack(list(self.config.data), self.config.detector).save(folder)
        pack = Pack.load(folder)
        if not self.config.identity.painted:
            return Faces(pack, self.device)
        meshes, presence = self._meshes(pack)
        found = (presence > morphable.PRESENCE)[:, None, None]
        return Faces(pack, self.device, np.where(found, meshes, 0.0).astype(np.float32))

    @cached_property
    def teacher(self) -> OnnxRecogniser:
        """The recogniser whose space is learned."""
        if self.config.teacher is None:
            raise UsageError("training needs --teacher, a recogniser as an ONNX file")
        return place(OnnxRecogniser(self.config.teacher), self.device)

    @cached_property
    def loss_networks(self) -> LossNetworks:
        """What the generators are judged with."""
        student = place(Encoder(STUDENT_A), self.device).eval().requires_grad_(False)
        path, shipped = self.out / "distil.pt", self._shipped("identity_encoder.onnx")
        if not path.exists() and shipped is not None:
            load_folded(student, shipped)
        else:
            state = load_checkpoint(path, self.device)["nets"]
            prefix = "student."
            student.load_state_dict(
                {k.removeprefix(prefix): v for k, v in state.items() if k.startswith(prefix)}
            )
        codes = self._codes()
        mesher = None
        if self.config.identity.painted:
            mesher = place(MeshNet(registry.path(MESH)), self.device)
        return LossNetworks(
            self.teacher, self.landmark_net, codes, self._public_prior(codes), student, mesher
        )

    def _shipped(self, name: str) -> Path | None:
        """A network of `start`, for a run that did not train its own."""
        start = self.config.start
        return None if start is None or not (start / name).exists() else start / name

    def _public_prior(self, codes: Tensor) -> Prior:
        """The prior over identity codes.

        People whose images are tight chips are drawn worse than others, wherever they are
        drawn: it is fitted to those that fill their crop, where there are enough of them.
        """
        whole = self.faces.whole
        enough = int(whole.sum()) >= 10 * codes.shape[1]
        return Prior.fit(codes[whole] if enough else codes)

    @cached_property
    def landmark_net(self) -> LandmarkNet:
        """The trained landmark net."""
        net = place(LandmarkNet(), self.device).eval().requires_grad_(False)
        shipped = self._shipped("landmarks.onnx")
        if not (self.out / "landmarks.pt").exists() and shipped is not None:
            load_folded(net, shipped)
            return net
        net.load_state_dict(load_checkpoint(self.out / "landmarks.pt", self.device)["net"])
        return net

    def _landmarks(self) -> None:
        options = self.config.landmarks
        landmarks(
            self.faces,
            self.out,
            images=options.images,
            batch=options.batch,
            rate=options.rate,
            seed=self.config.seed,
            checkpoint_seconds=self.config.checkpoint_seconds,
        )

    def _codes(self) -> Tensor:
        path = self.out / "codes.pt"
        if path.exists():
            return load_checkpoint(path, self.device)["codes"]  # type: ignore[no-any-return]
        codes = code_table(self.teacher, self.faces)
        save_checkpoint(path, {"codes": codes})
        return codes

    def _morphable(self) -> None:
        """The morphable face: no training, linear algebra over the pack and its meshes."""
        codes = self._codes()
        prior = self._public_prior(codes)
        folder = self.config.weights or self.out / "weights"
        folder.mkdir(parents=True, exist_ok=True)
        pack = Pack.load(self.out / "pack")
        meshes, presence = self._meshes(pack)
        mean, root = (part.float().cpu().numpy() for part in (prior.mean, prior.root))
        morphable.build(
            pack,
            meshes,
            presence,
            codes.float().cpu().numpy(),
            (mean, root),
            folder / "morphable.npz",
        )

    def _meshes(self, pack: Pack) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """The meshes of a pack's images, found once and kept beside it."""
        path = self.out / "meshes.npz"
        if not path.exists():
            finder = FaceMesh()
            parts = [
                finder(np.ascontiguousarray(pack.images[start : start + 256]))
                for start in range(0, len(pack), 256)
            ]
            points, presence = (np.concatenate(rows) for rows in zip(*parts, strict=True))
            partial = path.with_suffix(".partial.npz")
            np.savez(partial, points=points.astype(np.float16), presence=presence)
            partial.replace(path)
        with np.load(path) as stored:
            return stored["points"].astype(np.float32), stored["presence"]

    def _distil(self) -> None:
        options = self.config.distil
        distil(
            self.faces,
            self.teacher,
            self.out,
            images=options.images,
            batch=options.batch,
            rate=options.rate,
            seed=self.config.seed,
            checkpoint_seconds=self.config.checkpoint_seconds,
        )

    @cached_property
    def _identity_trainer(self) -> IdentityTrainer:
        options = self.config.identity
        weights = IdentityWeights(
            **options.model_dump(include=set(IdentityWeights.__dataclass_fields__))
        )
        new = not (self._own_folder / "identity.pt").exists()
        trainer = IdentityTrainer(
            self.faces,
            self.loss_networks,
            weights,
            rate=options.rate,
            judged_share=options.judged_share,
            student_every=options.student_every,
            steady_every=options.steady_every,
            mesh_every=options.mesh_every,
            first_guess=new and self.config.start is None,
        )
        if new and self.config.start is not None:
            for net in (trainer.generator(), trainer.average()):
                load_weights(net, self.config.start / "identity_generator.safetensors")
        return trainer

    def _identity(self) -> None:
        torch.manual_seed(self.config.seed)
        options = self.config.identity
        self._train(self._identity_trainer, options.images, options.batch, options.decay_from)

    @cached_property
    def _appearance_trainer(self) -> AppearanceTrainer:
        options = self.config.appearance
        weights = AppearanceWeights(
            **options.model_dump(include=set(AppearanceWeights.__dataclass_fields__))
        )
        start = None
        path = self.out / "identity.pt"
        new = not (self._own_folder / "appearance.pt").exists()
        if new and path.exists():
            start = FaceGenerator()
            start.load_state_dict(load_checkpoint(path, self.device)["average"])
        return AppearanceTrainer(
            self.faces,
            self.loss_networks,
            weights,
            rate=options.rate,
            steady_every=options.steady_every,
            start=start,
            first_guess=new,
        )

    def _appearance(self) -> None:
        torch.manual_seed(self.config.seed + 1)
        options = self.config.appearance
        self._train(self._appearance_trainer, options.images, options.batch, options.decay_from)

    def _train(self, trainer: FaceTrainer, images: int, batch: int, decay_from: float) -> None:
        config = self.config
        gossip = None
        if config.workers > 1:
            gossip = Gossip(self.out / f"gossip-{trainer.stage}", str(config.worker))
        train(
            trainer,
            self._own_folder,
            images=images,
            batch=batch,
            seed=config.seed + config.worker,
            decay_from=decay_from,
            threads=config.threads,
            checkpoint_seconds=config.checkpoint_seconds,
            on_checkpoint=self._sheet if config.worker == 0 else None,
            gossip=gossip,
        )

    def _sheet(self, trainer: FaceTrainer) -> None:
        """Own code, then three that are the same for every face of the sheet."""
        rng = torch.Generator(device=self.device).manual_seed(5)
        batch: Batch = self.faces.batch(
            SHOWN, rng, turn=0.0, zoom=0.0, shift=0.0, crop_scale=CROP_SCALE
        )
        path = self.out / f"{trainer.stage}_{trainer.adversary.step:07d}.png"
        codes = trainer.shown_codes(batch, rng)
        painter = trainer.painter
        paintings = None
        if painter is not None:
            own = torch.zeros(len(codes), SHOWN, device=self.device)
            own[0] = 1
            paintings = [painter(batch, *asked, rng) for asked in zip(codes, own, strict=True)]
        sheet(path, trainer.average(), trainer.conceal, batch, codes, paintings)

    def _export(self) -> None:
        """Write the weights that ship; those of stages that were not run are left alone."""
        folder = self.config.weights or self.out / "weights"
        folder.mkdir(parents=True, exist_ok=True)
        image = torch.zeros(2, 3, 128, 128)
        context, maps = torch.zeros(2, 4, 128, 128), torch.zeros(2, 5, 64, 64)
        notes = {"licence": "Apache-2.0", "trained_by": "stream-anon train"}
        if (self.out / "distil.pt").exists():
            path = folder / "identity_encoder.onnx"
            student = self.loss_networks.student or Encoder(STUDENT_A)
            export(student, path, {"pictures": image}, output="code", metadata=notes)
            rows = torch.arange(0, len(self.faces), max(1, len(self.faces) // 128))
            shown = self.faces.rows(rows.to(self.device)).images.cpu().numpy()
            quantise_activations(path, np.ascontiguousarray(shown))
        if (self.out / "landmarks.pt").exists():
            export(
                self.landmark_net,
                folder / "landmarks.onnx",
                {"luma": torch.zeros(2, 1, SIDE, SIDE)},
                output="landmarks",
                metadata=notes,
            )
        for stage, name in (("identity", "identity"), ("appearance", "appearance")):
            if not (self.out / f"{stage}.pt").exists():
                continue
            trainer: FaceTrainer
            trainer = self._identity_trainer if stage == "identity" else self._appearance_trainer
            state = load_checkpoint(self.out / f"{stage}.pt", self.device)
            trainer.adversary.restore(state, optimizers=False)
            prior = trainer.prior()
            _save_prior(folder / f"{name}_prior.npz", prior)
            code = prior.mean.cpu().repeat(2, 1)
            told = torch.zeros(2, 58)
            where = torch.eye(2, 3).repeat(2, 1, 1)
            examples = {
                "context": context, "maps": maps, "hints": told, "place": where, "code": code,
            }  # fmt: skip
            if trainer.painter is not None:
                examples["drawing"] = context
            export(
                trainer.average(),
                folder / f"{name}_generator.onnx",
                examples,
                output="face",
                metadata=notes | {"steps": str(trainer.adversary.step)},
            )
            if isinstance(trainer, AppearanceTrainer):
                export(
                    trainer.average_encoder(),
                    folder / "appearance_encoder.onnx",
                    {"pictures": image},
                    output="code",
                    metadata=notes | {"steps": str(trainer.adversary.step)},
                )


def _save_prior(path: Path, prior: Prior) -> None:
    partial = path.with_suffix(".partial.npz")
    np.savez(
        partial,
        mean=prior.mean.cpu().numpy().astype(np.float32),
        root=prior.root.cpu().numpy().astype(np.float32),
    )
    partial.replace(path)
