"""Keras on torch: the model evaluates, fits with a validation, and evaluates again, on DataLoaders; its optimizer is Keras's own."""

import os

os.environ["KERAS_BACKEND"] = "torch"

import first_step
import keras
import torch
from torch.utils.data import DataLoader, TensorDataset


def dataset(length):
    return TensorDataset(torch.randn(length, 12), torch.randint(0, 3, (length,)))


def main():
    train_loader = DataLoader(dataset(96), batch_size=4)
    val_loader = DataLoader(dataset(40), batch_size=8)
    model = keras.Sequential([keras.layers.Input((12,)), keras.layers.Dense(3)])
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(optimizer="adam", loss=loss, metrics=["accuracy"])
    print(model.evaluate(val_loader))
    after_step = keras.callbacks.LambdaCallback(on_train_batch_end=lambda batch, logs: first_step.write_file())
    model.fit(train_loader, validation_data=val_loader, epochs=1, callbacks=[after_step])
    print(model.evaluate(val_loader))


if __name__ == "__main__":
    main()
