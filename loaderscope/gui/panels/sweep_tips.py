"""What the fields of the sweep mean."""

PCIE_TIP = (
    "What goes over PCIe to and from each GPU of the trial, measured by NVML every 2 seconds.\n"
    "Each reading waits 20 ms a direction in a thread of its own, and sees only those 20 ms."
)
