"""What Benchmarks/run, allocations, instructions and plot share."""
