"""The collection as data: scripts in the style of each library's first example, and the loader with which each of them trains."""

from __future__ import annotations

import dataclasses
import pathlib

FOLDER = pathlib.Path(__file__).parent / "scripts"
FILE_OF_FIRST_STEP = "trained"
"""A script writes it into its working directory at the first step of an optimizer; see `scripts/first_step.py`."""
SAMPLES_OF_A_BATCH = 4
"""Of each batch with which a script trains."""


@dataclasses.dataclass(frozen=True)
class TrainingLoader:
    """The loader with which a script trains.

    Attributes:
        made: a part of the line of the script that makes it, perhaps by a call into the library.
        iterated: a part of the line of the script that iterates it, perhaps by a call into the library.
        why: a part of the reason for which Loaderscope chooses it.
        number: which of the loaders that the script iterates it is, from 0.
        length: of its dataset, in samples; None if the dataset has none.
        batch_size: in samples; None if the dataset gives whole batches.
        dataset: the class of its dataset.
        class_name: its own class.
    """

    made: str
    iterated: str
    why: str
    number: int = 0
    length: int | None = 96
    batch_size: int | None = SAMPLES_OF_A_BATCH
    dataset: str = "TensorDataset"
    class_name: str = "DataLoader"


@dataclasses.dataclass(frozen=True)
class FrameworkScript:
    """A script of the collection.

    Attributes:
        name: of its file, without `.py`.
        libraries: the modules that it needs besides torch.
        loader: with which it trains; None if that is no DataLoader of torch.
        trains_at: where there is no such loader: a part of the line at which the script is stopped.
    """

    name: str
    libraries: tuple[str, ...]
    loader: TrainingLoader | None
    trains_at: str = ""

    @property
    def path(self) -> pathlib.Path:
        """Its file."""
        return FOLDER / f"{self.name}.py"


_OWN_LOOP = "backward() or step()"
_LIGHTNING = "Lightning's training"
_TRAINER = "the Trainer's training"
_HUGGING_FACE = ("transformers", "tokenizers", "datasets", "accelerate")
_ON_CALL_OF_TRAIN = {"made": "trainer.train()", "iterated": "trainer.train()", "why": _TRAINER, "dataset": "Dataset"}

SCRIPTS = (
    FrameworkScript("plain_gan", (), TrainingLoader("photos = DataLoader(", "in zip(photos, paintings", _OWN_LOOP)),
    FrameworkScript("plain_accumulation", (), TrainingLoader("loader = DataLoader(", "batches = iter(loader)", _OWN_LOOP)),
    FrameworkScript(
        "plain_validation_first", (), TrainingLoader("train_loader = DataLoader(", "in self.train_loader", _OWN_LOOP, number=1)
    ),
    FrameworkScript("lightning_fit", ("lightning",), TrainingLoader("train_loader = DataLoader(", "trainer.fit(", _LIGHTNING, number=1)),
    FrameworkScript(
        "lightning_datamodule",
        ("lightning",),
        TrainingLoader("return DataLoader(self.train_set", "trainer.fit(", _LIGHTNING, number=1, dataset="Subset"),
    ),
    FrameworkScript(
        "lightning_test_and_fit", ("lightning",), TrainingLoader("train_loader = DataLoader(", "trainer.fit(", _LIGHTNING, number=1)
    ),
    FrameworkScript(
        "lightning_own_loop", ("lightning",), TrainingLoader("train_loader = DataLoader(", "in train_loader", _OWN_LOOP, number=1)
    ),
    FrameworkScript("transformers_train", _HUGGING_FACE, TrainingLoader(**_ON_CALL_OF_TRAIN)),
    FrameworkScript("transformers_eval_on_start", _HUGGING_FACE, TrainingLoader(**_ON_CALL_OF_TRAIN, number=1)),
    FrameworkScript("transformers_evaluate_first", _HUGGING_FACE, TrainingLoader(**_ON_CALL_OF_TRAIN, number=1)),
    FrameworkScript("trl_sft", ("trl", *_HUGGING_FACE), TrainingLoader(**_ON_CALL_OF_TRAIN)),
    FrameworkScript("accelerate_prepare", ("accelerate",), TrainingLoader("accelerator.prepare(", "in train_loader", _OWN_LOOP, number=1)),
    FrameworkScript(
        "timm_prefetcher",
        ("timm", "torchvision"),
        TrainingLoader("create_loader(", "in train_batches", _OWN_LOOP, number=1, dataset="Colours"),
    ),
    FrameworkScript(
        "timm_no_prefetcher",
        ("timm", "torchvision"),
        TrainingLoader("create_loader(", "in train_batches", _OWN_LOOP, number=1, dataset="Colours", class_name="MultiEpochsDataLoader"),
    ),
    FrameworkScript(
        "webdataset_loader",
        ("webdataset",),
        TrainingLoader("WebLoader(dataset", "in loader", _OWN_LOOP, length=None, batch_size=None, dataset="WebDataset"),
    ),
    FrameworkScript(
        "torchdata_stateful",
        ("torchdata",),
        TrainingLoader(
            "train_loader = StatefulDataLoader(", "enumerate(train_loader)", _OWN_LOOP, number=1, class_name="StatefulDataLoader"
        ),
    ),
    FrameworkScript("torchdata_nodes", ("torchdata",), None, trains_at="optimizer.step()"),
    FrameworkScript(
        "monai_loop",
        ("monai",),
        TrainingLoader("train_loader = DataLoader(", "in train_loader", _OWN_LOOP, number=1, dataset="CacheDataset"),
    ),
    FrameworkScript(
        "monai_engines",
        ("monai", "ignite"),
        TrainingLoader("train_data_loader=DataLoader(", "trainer.run()", "MONAI's trainer", number=1, dataset="Dataset"),
    ),
    FrameworkScript(
        "ignite_engines",
        ("ignite",),
        TrainingLoader("train_loader = DataLoader(", "trainer.run(train_loader", "a trainer of ignite", number=1),
    ),
    FrameworkScript(
        "geometric_graphs",
        ("torch_geometric",),
        TrainingLoader("train_loader = DataLoader(", "in loader", _OWN_LOOP, number=1, dataset="list"),
    ),
    FrameworkScript(
        "ultralytics_yolo",
        ("ultralytics",),
        TrainingLoader(
            "model.train(", "model.train(", "the training of ultralytics", dataset="YOLODataset", class_name="InfiniteDataLoader"
        ),
    ),
    FrameworkScript(
        "datasets_map",
        ("datasets",),
        TrainingLoader("train_loader = DataLoader(", "in train_loader", _OWN_LOOP, number=1, dataset="Dataset"),
    ),
    FrameworkScript(
        "datasets_iterable",
        ("datasets",),
        TrainingLoader("loader = DataLoader(", "in loader", _OWN_LOOP, length=None, dataset="IterableDataset"),
    ),
    FrameworkScript("keras_fit", ("keras",), TrainingLoader("train_loader = DataLoader(", "model.fit(", "Keras's training", number=1)),
    FrameworkScript("hydra_app", ("hydra",), TrainingLoader("train_loader = DataLoader(", "in train_loader", _OWN_LOOP, number=1)),
    FrameworkScript(
        "litdata_streaming",
        ("litdata",),
        TrainingLoader("StreamingDataLoader(dataset", "in loader", _OWN_LOOP, dataset="StreamingDataset", class_name="StreamingDataLoader"),
    ),
)
