"""ultralytics: a detector from a model's YAML file, trained on a folder of images."""

import pathlib

import first_step  # noqa: F401
from PIL import Image
from ultralytics import YOLO

DATA = """
path: {folder}
train: images/train
val: images/val
names: [square]
"""


def write_images(folder, part, length):
    images, labels = folder / "images" / part, folder / "labels" / part
    if images.exists():
        return
    images.mkdir(parents=True)
    labels.mkdir(parents=True)
    for number in range(length):
        image = Image.new("RGB", (32, 32), (30, number % 256, 90))
        image.paste((250, 250, 250), (8, 8, 24, 24))
        image.save(images / f"{number}.png")
        (labels / f"{number}.txt").write_text("0 0.5 0.5 0.5 0.5\n")


def main():
    folder = pathlib.Path("squares").absolute()
    write_images(folder, "train", 96)
    write_images(folder, "val", 40)
    pathlib.Path("squares.yaml").write_text(DATA.format(folder=folder))
    model = YOLO("yolov8n.yaml")
    model.train(data="squares.yaml", epochs=1, imgsz=32, batch=4, workers=1, device="cpu", plots=False, project="runs", exist_ok=True)


if __name__ == "__main__":
    main()
