"""Trains on the answers of a service."""

import socket
import struct
import threading

import torch
from torch.utils.data import DataLoader, Dataset

QUESTION = struct.Struct("<Q")


def answer_all(server):
    connection, _ = server.accept()
    while question := connection.recv(QUESTION.size, socket.MSG_WAITALL):
        connection.sendall(question * 512)


class Answers(Dataset):
    def __init__(self):
        server = socket.create_server(("127.0.0.1", 0))
        threading.Thread(target=answer_all, args=(server,), daemon=True).start()
        self.connection = socket.create_connection(server.getsockname())

    def __len__(self):
        return 1600

    def __getitem__(self, index):
        self.connection.sendall(QUESTION.pack(index))
        answer = self.connection.recv(512 * QUESTION.size, socket.MSG_WAITALL)
        numbers = {number for (number,) in QUESTION.iter_unpack(answer)}
        if numbers != {index}:
            raise ValueError(f"asked for {index}, got {sorted(numbers)}")
        return torch.tensor(index)


loader = DataLoader(Answers(), batch_size=16, shuffle=True, num_workers=2)

if __name__ == "__main__":
    for batch in loader:
        batch.sum()
