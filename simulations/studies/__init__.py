"""What is measured once: reproductions, benchmarks, calibration and the survey."""
