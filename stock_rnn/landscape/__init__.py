"""The loss around a trained run and between runs: symmetry, slices, planes, the training's path."""

#: The planes that are drawn: through random directions, through the eigenvectors of both ends of
#: the Hessian, through the principal directions of the training's path.
PLANES = ("random", "eigen", "path")
