"""The model at work: plans in, results out, on a CPU or on a device."""
