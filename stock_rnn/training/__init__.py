"""From a data set to a trained run: `train`, `fit`, callbacks, the run directory.

`train` and `runs` import no TensorFlow.
"""
