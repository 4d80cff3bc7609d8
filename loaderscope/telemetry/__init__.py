"""Samplers of processes and GPUs (NVML); they run in the app's process, never in the measured one."""
