"""What the fields of the sweep mean."""

SIMULATED_TIPS = {
    "sleep": "Stands for an accelerator that leaves the processor alone: the workers keep all cores",
    "burn": "Stands for a step that keeps one core busy: it competes with the workers for the cores",
}

TIPS = {
    "workers": "num_workers: processes that load batches beside the main process; 0 loads them in the main process itself",
    "batch size": "Samples in one batch",
    "prefetch": "prefetch_factor: batches that each worker may have ready or in work ahead of the main process",
    "start method": "How a worker process is made: fork copies the main process, spawn starts a new Python and imports the script again,\n"
    "forkserver forks from a small helper process",
    "backend": "What workers are. process: what DataLoader does. thread: threads of the main process, with the same sampler, prefetch\n"
    "and order; shows what Python's lock (GIL) costs. DataLoader has no setting for threads, so they are never recommended",
    "pin memory": "pin_memory: batches are copied into page-locked memory, from which a GPU can fetch them faster (needs a GPU)",
    "persistent": "persistent_workers: workers stay alive between epochs instead of being started again for each",
    "in order": "in_order: batches are handed out in the sampler's order; off lets a ready batch pass a slow one",
}

PCIE_TIP = (
    "What goes over PCIe to and from each GPU of the trial, measured by NVML every 2 seconds.\n"
    "Each reading waits 20 ms a direction in a thread of its own, and sees only those 20 ms."
)
