"""NVML and process samplers; they run in the app's process, never in the measured one."""
