"""Cores, memory and devices of the machine."""
