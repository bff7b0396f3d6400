"""The checks of ``benchmarks/gpu.py``, each made in a process of its own."""
