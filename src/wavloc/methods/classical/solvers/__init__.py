"""Position from delays: NumPy in, NumPy out, batched over frames."""
