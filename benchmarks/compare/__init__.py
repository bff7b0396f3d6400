"""Parts of ``benchmarks/learning.py``: samplers compared at equal training compute."""
