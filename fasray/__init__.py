"""fasray: honest protocol and hyperparameter sweeps for domain-generalized face anti-spoofing, on Ray.

Importing this package loads neither torch nor ray.
"""

__version__ = "0.1.0"
